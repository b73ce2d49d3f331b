"""What a smaller model must compute, found without making one: the whole model, with what goes set to zero.

The graph is run call by call. Before each call, the channels that go are zeros in every tensor that it reads; layers
that look at all channels together see those that stay. Of what surgery cuts only the labels of tensors are used.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from engine.structured.groups import Channels, Group, channels_of
from engine.structured.surgery import shrink

TOLERANCE = 1e-5
"""Of the largest output."""

POSITIVE = ("gamma", "variance", "alpha", "scale")


def randomized(model: Any, seed: int = 0) -> Any:
    """The model itself, with no weight left at zero or one."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if any(word in name for word in POSITIVE):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif any(word in name for word in ("bias", "beta", "mean")):
            variable.assign(rng.normal(0, 0.1, shape))
    return model


def chosen(channels: Channels, seed: int = 0, share: float = 0.5) -> Any:
    """Keep some channels of every group that can be cut, and one of each layer's at least."""
    rng, kept = np.random.default_rng(seed), channels.all_kept()
    for group in channels.groups:
        if not group.frozen:
            count = min(len(group.channels) - 1, max(1, round(share * len(group.channels))))
            kept[rng.choice(group.channels, count, replace=False)] = False
            for part in group.parts:
                if not kept[part].any():
                    kept[part[0]] = True
    return kept


def group_of(channels: Channels, layer: str) -> Group:
    """The group that a layer makes."""
    group = channels.group(layer)
    assert group is not None
    return group


def masked_outputs(channels: Channels, kept: Any, inputs: Any) -> list[Any]:
    """The outputs of the whole model without what goes.

    Args:
        inputs: arrays in the order of the model's inputs.
    """
    graph, axes = channels.trace.graph, channels.trace.axes
    values = {slot: keras.ops.convert_to_tensor(each) for slot, each in zip(graph.inputs, inputs, strict=True)}
    for call in graph.calls:
        for slot in call.reads.values():
            values[slot] = _zeroed(values[slot], axes[slot], channels, kept)
        if type(call.operation).__name__ in ("LayerNormalization", "RMSNormalization", "GroupNormalization"):
            slot = call.source
            values[call.writes[0]] = _normalized(call.operation, values[slot], axes[slot], channels, kept)
            continue
        with _without(channels, kept, call):
            call.run(values)
    return [np.asarray(values[slot]) for slot in graph.outputs]


def error(left: Any, right: Any) -> float:
    """The largest difference, as a share of the largest output."""
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(left, right, strict=True))


def outputs_of(model: Any, inputs: Any) -> list[Any]:
    """As a list, in the order of the model's outputs."""
    named = inputs[0] if len(inputs) == 1 else list(inputs)
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        named = dict(zip(sorted(model._inputs_struct), inputs, strict=True))
    return [np.asarray(each) for each in keras.tree.flatten(model(named, training=False))]


def assert_exact(model: Any, *, seed: int = 0, batch: int = 2, cuts: bool = True) -> tuple[Channels, Any, Any]:
    """Cut half of all channels that can be, and compare with the model in which they are zeros.

    Args:
        cuts: whether there must be something to cut.
    """
    rng = np.random.default_rng(seed)
    for variable in model.weights:  # the same in every run, of the spread that the layer likes
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, np.std(variable), tuple(variable.shape)))
    randomized(model, seed)
    inputs = [_input(tensor, batch, rng) for tensor in model.inputs]
    before, weights = outputs_of(model, inputs), model.get_weights()
    channels = channels_of(model)
    kept = chosen(channels, seed)

    small = shrink(channels, kept)

    expected, found = masked_outputs(channels, kept, inputs), outputs_of(small, inputs)
    assert [each.shape for each in found] == [each.shape for each in before]
    assert error(expected, found) < TOLERANCE
    assert (small.count_params() < model.count_params()) == cuts
    assert not cuts or error(before, found) > TOLERANCE, "what was cut meant nothing"
    assert all((old == new).all() for old, new in zip(weights, model.get_weights(), strict=True))
    return channels, kept, small


def _input(tensor: Any, batch: int, rng: np.random.Generator) -> Any:
    shape = (batch, *(size or 5 for size in tensor.shape[1:]))
    if str(tensor.dtype).startswith("int"):
        return rng.integers(0, 5, shape)
    return rng.normal(size=shape).astype(np.float32)


def _zeroed(value: Any, axes: Any, channels: Channels, kept: Any) -> Any:
    array = np.array(value)
    for place, axis in enumerate(axes):
        if not isinstance(axis, str):
            gone = ~kept[channels.of_label[axis]]
            array[(slice(None),) * place + (gone,)] = 0
    made = keras.ops.convert_to_tensor(array)
    if (mask := getattr(value, "_keras_mask", None)) is not None:  # what attention takes without an argument
        made._keras_mask = mask
    return made


def _normalized(layer: Any, value: Any, axes: Any, channels: Channels, kept: Any) -> Any:
    """Mean and variance of what stays; the rest is zero."""
    array = np.array(value)
    places = [place % array.ndim for place in np.ravel(layer.axis)]
    stays = np.ones([array.shape[place] for place in places], np.bool_)
    for number, place in enumerate(places):
        if not isinstance(axes[place], str):
            shape = [1] * len(places)
            shape[number] = -1
            stays &= kept[channels.of_label[axes[place]]].reshape(shape)
    flat = np.moveaxis(array, places, range(-len(places), 0))
    made = np.zeros_like(flat)
    rows = flat[..., stays]
    if hasattr(layer, "groups"):  # over positions too; groups keep equally many, or are a channel each
        width = rows.shape[-1] // layer.groups if layer.groups < stays.size else 1
        grouped = rows.reshape(len(rows), -1, rows.shape[-1] // width, width)
        mean, variance = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
        scaled = ((grouped - mean) / np.sqrt(variance + layer.epsilon)).reshape(rows.shape)
    elif type(layer).__name__ == "RMSNormalization":
        scaled = rows / np.sqrt((rows**2).mean(-1, keepdims=True) + layer.epsilon)
    else:
        scaled = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + layer.epsilon)
    for name, default in (("gamma", 1.0), ("scale", 1.0), ("beta", 0.0)):
        variable = getattr(layer, name, None)
        if isinstance(variable, keras.Variable):
            numbers = np.asarray(variable)[stays]
            scaled = scaled * numbers if default else scaled + numbers
    made[..., stays] = scaled
    return keras.ops.convert_to_tensor(np.moveaxis(made, range(-len(places), 0), places))


@contextmanager
def _without(channels: Channels, kept: Any, call: Any) -> Iterator[None]:
    """What layers keep to themselves: a unit that goes is no state to others, a head that goes adds nothing."""
    with ExitStack() as stack:
        operation = call.operation
        for cell, labels in _cells(operation, channels.trace.axes[call.writes[0]][-1]):
            stack.enter_context(_silenced(cell.recurrent_kernel, ~kept[channels.of_label[labels]]))
        if isinstance(operation, keras.layers.MultiHeadAttention):
            heads = channels.trace.coupling.dim(operation, operation._query_dense.kernel, 1)
            stack.enter_context(_silenced(operation._output_dense.kernel, ~kept[channels.of_label[heads]]))
        yield


def _cells(operation: Any, labels: Any) -> list[tuple[Any, Any]]:
    if isinstance(labels, str):
        return []
    if isinstance(operation, keras.layers.TimeDistributed):
        return _cells(operation.layer, labels)
    if isinstance(operation, keras.layers.Bidirectional):
        halves = np.split(labels, 2) if operation.merge_mode == "concat" else [labels, labels]
        return [(operation.forward_layer.cell, halves[0]), (operation.backward_layer.cell, halves[1])]
    return [(operation.cell, labels)] if isinstance(operation, keras.layers.RNN) else []


@contextmanager
def _silenced(variable: Any, rows: Any) -> Iterator[None]:
    whole = np.array(variable)
    variable.assign(np.where(rows.reshape(-1, *[1] * (whole.ndim - 1)), 0, whole))
    try:
        yield
    finally:
        variable.assign(whole)
