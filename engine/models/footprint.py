"""What one sample costs a model on its way through: the largest tensor, the steps, the multiply-accumulates.

Everything follows from the shapes of symbolic tensors, so that it is known before anything is computed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import keras

from engine.models.costs import Shape, known_shapes, works_of
from engine.models.graph import Call, Graph, graph_of

FREE_SIZE: Final = 32
"""Of an axis that takes any size; random inputs of a check have as many (``engine.bridge.twin``)."""

layers = keras.layers


@dataclass(frozen=True)
class Footprint:
    """Of one sample: its largest tensor between layers, and where; calls of layers; multiply-accumulates."""

    largest_bytes: int
    largest_shape: Shape
    largest_layer: str
    num_steps: int
    num_macs: int


def footprint(model: Any) -> Footprint:
    """What one sample costs, with ``FREE_SIZE`` for axes of any size where the model can be called with it.

    >>> model = keras.Sequential([keras.Input((4, 4, 3)), layers.UpSampling2D(10, name="up"), layers.Flatten()])
    >>> found = footprint(model)
    >>> found.largest_layer, found.largest_shape, found.largest_bytes, found.num_steps
    ('up', (None, 40, 40, 3), 19200, 2)
    """
    graph = _filled(graph_of(model))
    tensors = [(math.prod(size or 1 for size in shape[1:]), shape, name) for shape, name in _tensors(graph)]
    size, shape, name = max(tensors, key=lambda tensor: tensor[0], default=(0, (), model.name))
    return Footprint(4 * size, shape, name, _steps(graph), sum(work.macs for work in works_of(graph)))


def _filled(graph: Graph) -> Graph:
    """The graph with a size for every axis, if the model can be called with inputs of that size."""
    sizes = {
        slot: (graph.shapes[slot][0], *(size or FREE_SIZE for size in graph.shapes[slot][1:])) for slot in graph.inputs
    }
    try:
        return replace(graph, shapes=known_shapes(replace(graph, shapes={**graph.shapes, **sizes})))
    except Exception:  # noqa: BLE001 - a model that takes no inputs of this size; its own shapes say what they say
        return replace(graph, shapes=known_shapes(graph))


def _tensors(graph: Graph) -> Iterator[tuple[Shape, str]]:
    """Shapes of tensors with the names of the layers that make them, attention's scores too."""
    for slot in graph.inputs:
        yield graph.shapes[slot], "input"
    for call in graph.calls:
        for slot in call.writes:
            yield graph.shapes[slot], call.operation.name
        yield from ((shape, call.operation.name) for shape in _scores(call, graph.shapes))
        if isinstance(call.operation, layers.TimeDistributed) and call.reads:
            yield from _inside(call.operation, graph.shapes[call.source])


def _inside(layer: Any, shape: Shape) -> Iterator[tuple[Shape, str]]:
    """Tensors of a model that is called for each step of an input of a shape."""
    inner, seen = layer.layer, shape[:1] + shape[2:]
    if isinstance(inner, keras.Model):
        yield from _tensors(_graph_for(inner, seen))
    elif isinstance(inner, layers.TimeDistributed):
        yield from _inside(inner, seen)


def _graph_for(model: Any, shape: Shape) -> Graph:
    """The graph of a model inside a wrapper, as it is for an input of a shape."""
    graph = graph_of(model)
    return _filled(replace(graph, shapes={**graph.shapes, **dict.fromkeys(graph.inputs, shape)}))


def _scores(call: Call, shapes: Mapping[int, Shape]) -> Iterator[Shape]:
    """A score for each pair of a query and a key, which no output of an attention layer shows."""
    operation = call.operation
    if not isinstance(operation, (layers.MultiHeadAttention, layers.GroupQueryAttention, layers.Attention)):
        return
    read = [shapes[slot] for slot in call.reads.values()]
    query, value = read[0], read[min(1, len(read) - 1)]
    each = getattr(operation, "num_heads", None) or getattr(operation, "num_query_heads", None) or 1
    if isinstance(operation, layers.AdditiveAttention):
        each = query[-1] or 1
    yield (None, each, *query[1:-1], *value[1:-1])


def _steps(graph: Graph) -> int:
    return sum(_num_steps(call.operation, graph.shapes[call.source]) if call.reads else 1 for call in graph.calls)


def _num_steps(layer: Any, shape: Shape) -> int:
    """How many calls one call of a layer becomes: a layer in ``TimeDistributed`` is called for each step of its input.

    So is the cell of a recurrent layer that is unrolled; in loops of TensorFlow, steps are no calls.
    """
    if isinstance(layer, layers.TimeDistributed):
        inner, seen = layer.layer, shape[:1] + shape[2:]
        calls = _steps(_graph_for(inner, seen)) if isinstance(inner, keras.Model) else _num_steps(inner, seen)
        return (shape[1] or 1) * max(1, calls)
    halves = [layer.forward_layer, layer.backward_layer] if isinstance(layer, layers.Bidirectional) else [layer]
    return sum((shape[1] or 1) if getattr(half, "unroll", False) and len(shape) > 1 else 1 for half in halves)
