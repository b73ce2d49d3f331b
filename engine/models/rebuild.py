"""Rebuild a Keras model from the configs of its layers, with some configs or input shapes changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

Config = dict[str, Any]
Shape = tuple[int | None, ...]


@dataclass
class Rebuilt:
    """A model that was rebuilt, and what each part of the original became."""

    model: Any = None
    pairs: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    """By the ``id`` of a layer, operation, nested model or input tensor of the original: it, and its counterpart."""

    def layers(self) -> list[tuple[Any, Any]]:
        """Every layer that is no nested model, with its counterpart."""
        layers = ((old, new) for old, new in self.pairs.values() if isinstance(old, keras.layers.Layer))
        return [(old, new) for old, new in layers if not is_graph(old)]


def rebuild(
    model: Any,
    *,
    make: Callable[[Any], Any],
    input_shape: Callable[[Any], Shape] = lambda tensor: tuple(tensor.shape),
) -> Rebuilt:
    """Build a model of the same graph. Weights and compile options are the caller's business.

    Args:
        model: a functional or Sequential model; nested models are rebuilt too.
        make: returns the counterpart of a layer or operation. It is called once for each.
        input_shape: the shape of an input, batch axis first, given the symbolic tensor of the original.
    """
    rebuilt = Rebuilt()

    def input_like(tensor: Any) -> Any:
        layer = tensor._keras_history.operation
        config = layer.get_config() | {"batch_shape": input_shape(tensor)}
        new = type(layer).from_config(config).output
        rebuilt.pairs[id(tensor)] = (tensor, new)
        return new

    def counterpart(operation: Any) -> Any:
        if id(operation) not in rebuilt.pairs:
            new = graph(operation) if is_graph(operation) else make(operation)
            rebuilt.pairs[id(operation)] = (operation, new)
        return rebuilt.pairs[id(operation)][1]

    def graph(original: Any) -> Any:
        if isinstance(original, keras.Sequential):
            inputs = input_like(original.inputs[0])
            layers = [inputs, *map(counterpart, original.layers)]
            return keras.Sequential(layers, name=original.name, trainable=original.trainable)
        inputs = keras.tree.map_structure(input_like, original._inputs_struct)
        outputs = original._run_through_graph(inputs, operation_fn=counterpart)
        return keras.Model(inputs, outputs, name=original.name, trainable=original.trainable)

    rebuilt.model = graph(model)
    return rebuilt


def is_graph(operation: Any) -> bool:
    """Whether an operation is a nested model whose layers are known."""
    return isinstance(operation, keras.Model) and hasattr(getattr(operation, "_functional", operation), "_nodes")


def without_key(config: Any, dropped: str) -> Any:
    """A config without the entries of one name, at any depth.

    >>> without_key({"layer": {"units": 2, "build_config": {}}}, "build_config")
    {'layer': {'units': 2}}
    """
    if isinstance(config, dict):
        return {key: without_key(value, dropped) for key, value in config.items() if key != dropped}
    return type(config)(without_key(value, dropped) for value in config) if type(config) in (list, tuple) else config


def remade(operation: Any, edit: Callable[[Config], Config]) -> Any:
    """The same layer or operation, from its edited config, which does not record the shapes of inner layers."""
    config = edit(without_key(operation.get_config(), "build_config"))
    if isinstance(operation, keras.layers.Lambda):  # Keras takes no code from configs; this function is our own
        return keras.layers.Lambda(**config | {"function": operation.function, "arguments": operation.arguments})
    return type(operation).from_config(config)


def edited(config: Any, edit: Callable[[Config], Config]) -> Any:
    """A config with every dict in it edited, the inner ones first: wrapped layers and cells are reached too."""
    if isinstance(config, dict):
        return edit({key: edited(value, edit) for key, value in config.items()})
    return type(config)(edited(value, edit) for value in config) if type(config) in (list, tuple) else config


def compiled_like(model: Any, new: Any) -> Any:
    """A rebuilt model, compiled with the options of the original."""
    if config := model.get_compile_config():
        new.compile_from_config(config)
    return new


def copy_weights(pairs: Sequence[tuple[Any, Any]]) -> None:
    """Give each layer the weights of its original."""
    for old, new in pairs:
        if old.weights:
            new.set_weights(old.get_weights())
