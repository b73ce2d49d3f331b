"""Build the smaller model: the same layers from their configs with new sizes, and the weights that stay.

What comes out is a plain Keras model with the names, inputs and outputs of the old one; nothing in it knows of pruning.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.channels.groups import Channels
from engine.channels.labels import Dim
from engine.model import finalized

Remake = Callable[[Any], Any]


def shrink(channels: Channels, kept: Mask) -> Any:
    """The model without the channels that go.

    Args:
        kept: an entry a channel; each group keeps at least one.

    Returns:
        A new model, compiled like the old one was. The old one is as it was.

    Raises:
        ValueError: a layer would be left without channels.
    """
    _leave_something(channels, kept)
    model, made = channels.trace.model, dict[int, tuple[Any, Any]]()

    def remake(operation: Any) -> Any:
        if id(operation) not in made:
            inner = _is_graph(operation)
            new = _rebuilt(operation, remake, sizes) if inner else _resized(operation, sizes)
            made[id(operation)] = (operation, new)
        return made[id(operation)][1]

    sizes = _sizes(channels, kept)
    small = _rebuilt(model, remake, sizes)
    dims = _by_variable(channels)
    for old, new in made.values():
        if not _is_graph(old) and getattr(old, "weights", None):
            new.set_weights([_sliced(variable, dims, channels, kept) for variable in old.weights])
    return finalized(_compiled_like(model, small))


def indices(channels: Channels, kept: Mask, dim: Dim) -> Array:
    """Which indices of an axis stay."""
    return np.flatnonzero(kept[channels.along(dim)])


def _sizes(channels: Channels, kept: Mask) -> dict[int, dict[tuple[str | int, ...], int]]:
    """By operation, what changes in its config."""
    found: dict[int, dict[tuple[str | int, ...], int]] = {}
    for resize in channels.trace.book.resizes.values():
        size = int(kept[channels.of_label[resize.labels]].sum())
        if size != resize.labels.size:
            found.setdefault(id(resize.operation), {})[resize.path] = size
    return found


def _is_graph(operation: Any) -> bool:
    """Whether its layers are all in the graph, to be remade one by one."""
    return isinstance(operation, keras.Model) and hasattr(getattr(operation, "_functional", operation), "_nodes")


def _leave_something(channels: Channels, kept: Mask) -> None:
    for dim in channels.dims:
        if not kept[channels.along(dim)].any():
            raise ValueError(f"nothing would be left of {channels.names[id(dim.layer)]}")


def _rebuilt(model: Any, remake: Remake, sizes: Mapping[int, Mapping[Any, int]]) -> Any:
    """A model of remade layers."""

    def given(tensor: Any) -> Any:
        shape, layer = list(tensor.shape), tensor._keras_history.operation
        for (axis,), size in sizes.get(id(tensor), {}).items():
            shape[axis] = size
        return type(layer).from_config(layer.get_config() | {"batch_shape": tuple(shape)}).output

    if isinstance(model, keras.Sequential):
        inputs = given(model.inputs[0])
        return keras.Sequential([inputs, *map(remake, model.layers)], name=model.name, trainable=model.trainable)
    inputs = keras.tree.map_structure(given, model._inputs_struct)
    outputs = model._run_through_graph(inputs, operation_fn=remake)
    return keras.Model(inputs, outputs, name=model.name, trainable=model.trainable)


def _resized(operation: Any, sizes: Mapping[int, Mapping[tuple[str | int, ...], int]]) -> Any:
    """The same operation with other numbers in its config."""
    config = _unbuilt(operation.get_config())
    for path, size in sizes.get(id(operation), {}).items():
        config = _changed(config, path, size)
    if isinstance(operation, keras.layers.Lambda):  # Keras takes no code from configs, and this is not from one
        return keras.layers.Lambda(**config | {"function": operation.function, "arguments": operation.arguments})
    return type(operation).from_config(config)


def _unbuilt(config: Any) -> Any:
    """A config whose inner layers do not know the shapes that they were built with."""
    if isinstance(config, Mapping):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return type(config)(map(_unbuilt, config)) if type(config) in (list, tuple) else config


def _changed(config: Any, path: tuple[str | int, ...], value: int) -> Any:
    """A config with one entry changed.

    >>> _changed({"a": (1, 2)}, ("a", 1), 5)
    {'a': (1, 5)}
    """
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(config, Mapping):
        return {**config, key: _changed(config[key], rest, value)}
    if not isinstance(config, (list, tuple)):
        return value  # a single number stands for a sequence of one
    return type(config)(_changed(each, rest, value) if place == key else each for place, each in enumerate(config))


def _by_variable(channels: Channels) -> dict[int, list[Dim]]:
    found: dict[int, list[Dim]] = {}
    for dim in channels.dims:
        found.setdefault(id(dim.variable), []).append(dim)
    return found


def _sliced(variable: Any, dims: Mapping[int, list[Dim]], channels: Channels, kept: Mask) -> Array:
    values = np.asarray(keras.ops.convert_to_numpy(variable))
    for dim in dims.get(id(variable), ()):
        values = np.take(values, indices(channels, kept, dim), axis=dim.axis)
    return values


def _compiled_like(model: Any, small: Any) -> Any:
    if config := model.get_compile_config():
        small.compile_from_config(config)
    return small
