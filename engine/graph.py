"""Walking the graph of a Keras model: where a layer is called, what reaches it, and what comes right behind it.

Keras keeps on a layer the calls of every graph that it was ever part of, so each question is asked of one model.
Models inside models are opened.
"""

from collections.abc import Callable
from typing import Any

import keras

Feed = Callable[[Any], Any]
"""From a batch of model inputs to what a layer is called with."""


def calls(layer: Any, model: Any) -> list[Any]:
    """The nodes of the model's own graph at which a layer is called; models inside it are not opened."""
    graph = getattr(model, "_functional", None) or model
    inside = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    return [node for node in layer._inbound_nodes if id(node) in inside]


def nested_models(model: Any) -> list[Any]:
    """The models that a model calls as layers."""
    return [layer for layer in model.layers if isinstance(layer, keras.Model)]


def feeds(layer: Any, model: Any) -> list[Feed]:
    """For each call of a layer, in this model or in models inside it, what computes the first input of that call."""
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    found: list[Feed] = [
        keras.Model(inputs, call.input_tensors[0]) for call in calls(layer, model) if call.input_tensors
    ]
    for nested in nested_models(model):
        inner = feeds(layer, nested)
        found += [_composed(outer, feed) for outer in (feeds(nested, model) if inner else ()) for feed in inner]
    return found


def _composed(outer: Feed, inner: Feed) -> Feed:
    def feed(batch: Any) -> Any:
        return inner(outer(batch))

    return feed


def batchnorm_behind(layer: Any, model: Any) -> Any | None:
    """The BatchNorm that alone takes what a layer gives, and takes nothing else; None when there is none."""
    for graph in (model, *_all_nested(model)):
        here = calls(layer, graph)
        if not here:
            continue
        if len(here) != 1:
            return None
        behind = [node for node in _nodes(graph) if any(_made_by(tensor, layer) for tensor in node.input_tensors)]
        leaves = any(_made_by(tensor, layer) for tensor in graph.outputs)
        if leaves or len(behind) != 1 or not isinstance(behind[0].operation, keras.layers.BatchNormalization):
            return None
        norm = behind[0].operation
        return norm if len(calls(norm, graph)) == 1 else None
    return None


def _all_nested(model: Any) -> list[Any]:
    return [deep for nested in nested_models(model) for deep in (nested, *_all_nested(nested))]


def _nodes(model: Any) -> list[Any]:
    graph = getattr(model, "_functional", None) or model
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def _made_by(tensor: Any, layer: Any) -> bool:
    return tensor._keras_history[0] is layer
