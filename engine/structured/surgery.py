"""Build the smaller model: the same layers from their configs with new sizes, and the kept weights.

The result is a plain Keras model with the names, inputs and outputs of the old one, without any trace of pruning.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import graph_of
from engine.models.model import finalized
from engine.models.rebuild import Shape, compiled_like, rebuild, remade
from engine.structured.coupling import AxisLabels, CouplingBuilder, Dim, Resize
from engine.structured.groups import Channels, names_of
from engine.structured.trace import Trace

Pairs = Mapping[int, tuple[Any, Any]]
"""By the id of each layer, operation and input of the old model: the object and its counterpart in the new model."""


def shrink(channels: Channels, kept: Mask) -> Any:
    """Build the model without the removed channels, for callers that prune only once; see ``narrow``."""
    return narrow(channels, kept).trace.model


def narrow(channels: Channels, kept: Mask) -> Channels:
    """Build the model without the removed channels.

    Args:
        kept: an entry a channel; each group keeps at least one.

    Returns:
        The channels of a new model, under their old numbers. The model is compiled like the old one. Coupled channels
        stay coupled: a new trace could miss couplings where an axis has size one. The old model is unchanged.

    Raises:
        ValueError: a layer would be left without channels.
    """
    _check_not_empty(channels, kept)
    sizes: Mapping[int, Mapping[Any, int]] = _sizes(channels, kept)
    dims = _by_layer(channels)

    def make(operation: Any) -> Any:
        shrinks = any(not kept[channels.along(dim)].all() for dim in dims[id(operation)])
        return _resized(operation, sizes, shrinks=shrinks)

    def input_shape(tensor: Any) -> Shape:
        shape = list(tensor.shape)
        for (axis,), size in sizes.get(id(tensor), {}).items():
            shape[axis] = size
        return tuple(shape)

    rebuilt = rebuild(channels.trace.model, make=make, input_shape=input_shape)
    variables = dict[int, Any]()
    for old, new in rebuilt.layers():
        if old.weights:
            new.set_weights([_sliced(variable, dims[id(old)], channels, kept) for variable in old.weights])
            variables.update(zip(map(id, old.weights), new.weights, strict=True))
    small = finalized(compiled_like(channels.trace.model, rebuilt.model))
    return _renamed(channels, kept, small, rebuilt.pairs, variables)


def _renamed(channels: Channels, kept: Mask, small: Any, made: Pairs, variables: Mapping[int, Any]) -> Channels:
    """Return the kept channels, with references to the new model's layers and variables."""

    def staying(labels: AxisLabels) -> AxisLabels:
        return np.asarray(labels[kept[channels.of_label[labels]]])

    traced, coupling = channels.trace, CouplingBuilder()
    for dim in channels.dims:
        layer, variable = made[id(dim.layer)][1], variables[id(dim.variable)]
        coupling.dims[id(variable), dim.axis] = replace(dim, layer=layer, variable=variable, labels=staying(dim.labels))
    for resize in traced.coupling.resizes.values():
        operation = made[id(resize.operation)][1]
        coupling.resizes[id(operation), resize.path] = Resize(operation, resize.path, staying(resize.labels))
    axes = {
        slot: tuple(axis if isinstance(axis, str) else staying(axis) for axis in each)
        for slot, each in traced.axes.items()
    }
    groups = tuple(
        replace(
            group,
            channels=group.channels[kept[group.channels]],
            parts=tuple(part[kept[part]] for part in group.parts),
        )
        for group in channels.groups
    )
    return Channels(Trace(small, graph_of(small), coupling, axes), channels.of_label, names_of(small), groups)


def indices(channels: Channels, kept: Mask, dim: Dim) -> Array:
    """Return the indices of an axis that are kept."""
    return np.flatnonzero(kept[channels.along(dim)])


def _sizes(channels: Channels, kept: Mask) -> dict[int, dict[tuple[str | int, ...], int]]:
    """Return by the id of each operation the config entries that change, and their new sizes."""
    found: dict[int, dict[tuple[str | int, ...], int]] = {}
    for resize in channels.trace.coupling.resizes.values():
        size = int(kept[channels.of_label[resize.labels]].sum())
        if size != resize.labels.size:
            found.setdefault(id(resize.operation), {})[resize.path] = size
    return found


def _check_not_empty(channels: Channels, kept: Mask) -> None:
    for dim in channels.dims:
        if not kept[channels.along(dim)].any():
            raise ValueError(f"no channel would be left in {channels.names[id(dim.layer)]}")


def _resized(operation: Any, sizes: Mapping[int, Mapping[tuple[str | int, ...], int]], *, shrinks: bool) -> Any:
    """Build an operation again with other sizes in its config.

    Args:
        operation: the old operation.
        sizes: the changed entries of configs, by the ids of operations.
        shrinks: whether any of its variables becomes smaller.
    """

    def edit(config: Any) -> Any:
        if shrinks:
            config = _without_arrays(config)
        for path, size in sizes.get(id(operation), {}).items():
            config = _changed(config, path, size)
        return config

    return remade(operation, edit)


def _without_arrays(config: Any) -> Any:
    """Return a config whose initialisers hold no arrays of the old shape; all weights are set later anyway."""
    if isinstance(config, Mapping):
        held = config.get("config", {}).get("value") if config.get("class_name") == "Constant" else None
        if held is not None and not isinstance(held, (int, float)):
            return keras.initializers.serialize(keras.initializers.Zeros())
        return {key: _without_arrays(value) for key, value in config.items()}
    return type(config)(map(_without_arrays, config)) if type(config) in (list, tuple) else config


def _changed(config: Any, path: tuple[str | int, ...], value: int) -> Any:
    """Return a config with one entry changed.

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


def _by_layer(channels: Channels) -> Mapping[int, list[Dim]]:
    found: dict[int, list[Dim]] = defaultdict(list)
    for dim in channels.dims:
        found[id(dim.layer)].append(dim)
    return found


def _sliced(variable: Any, dims: Iterable[Dim], channels: Channels, kept: Mask) -> Array:
    values = np.asarray(keras.ops.convert_to_numpy(variable))
    for dim in dims:
        if dim.variable is variable:
            values = np.take(values, indices(channels, kept, dim), axis=dim.axis)
    return values
