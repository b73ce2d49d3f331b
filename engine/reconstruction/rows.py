"""Layers as matrix products: at each output position, a layer multiplies a row of inputs with its kernel.

``rows`` gathers these rows at sampled positions only, so that a convolution over large images needs no more memory than
one over small images. Rows and weights have a leading axis of groups; a depthwise convolution has a group per channel.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.models.layout import TRANSPOSED, Layout, depthwise_half, layout_of
from engine.models.prunable import CONVOLUTIONS, DEPTHWISE, SEPARABLE, kernel_of, num_groups

WINDOWED = (*CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE)


def reason_not_a_matrix_product(layer: Any) -> str | None:
    """Return the reason why ``rows`` cannot express a layer as a matrix product, or None when it can."""
    if isinstance(layer, WINDOWED):
        return None if layer.data_format == "channels_last" else "it has its channels first"
    if isinstance(layer, keras.layers.EinsumDense):
        return None if _einsum_axes(layer.equation) else f"its equation {layer.equation} is no plain matrix product"
    return None if isinstance(layer, keras.layers.Dense) else f"{type(layer).__name__} is no matrix product"


def weights_of(layer: Any) -> Any:
    """Return the variable that rows are multiplied with; for a separable convolution the pointwise kernel."""
    return layer.kernel if isinstance(layer, DEPTHWISE) else kernel_of(layer)


def num_inputs(layer: Any) -> int:
    """Return the number of inputs of a unit, which is the number of columns of its rows."""
    return _layout(layer).num_inputs


def num_units(layer: Any) -> int:
    """Return the number of units of all groups together."""
    return _layout(layer).num_units


def grouped(layer: Any, kernel: Array) -> Array:
    """Convert a kernel from Keras' shape to (groups, inputs of a unit, units of a group)."""
    return split_groups(_layout(layer).matrix(kernel), num_groups(layer))


def ungrouped(layer: Any, weights: Array) -> Array:
    """Convert a kernel from (groups, inputs of a unit, units of a group) to Keras' shape."""
    return _layout(layer).kernel(join_groups(weights))


def join_groups(weights: Array) -> Array:
    """Return the units of all groups in one matrix, (inputs of a unit, units)."""
    return weights.transpose(1, 0, 2).reshape(weights.shape[1], -1)


def split_groups(matrix: Array, num_groups: int) -> Array:
    """Split a matrix (inputs of a unit, units) into groups: (groups, inputs of a unit, units of a group).

    >>> split_groups(np.arange(4).reshape(1, 4), 2).tolist()
    [[[0, 1]], [[2, 3]]]
    """
    return matrix.reshape(len(matrix), num_groups, -1).transpose(1, 0, 2)


def has_bias_per_unit(layer: Any) -> bool:
    """Whether a bias can be solved with the kernel: one value for each unit, in the order of the units."""
    if isinstance(layer, keras.layers.EinsumDense):
        axes = _einsum_axes(layer.equation)
        return layer.bias is not None and axes is not None and layer.bias_axes == axes[1]
    return bool(layer.use_bias)


def num_positions(layer: Any, shape: Sequence[int]) -> int:
    """Return the number of rows of one sample.

    Args:
        layer: the layer.
        shape: of the layer's input, with the axis of samples.
    """
    if isinstance(layer, WINDOWED):
        return int(np.prod(_window_shape(layer, shape)))
    return int(np.prod(shape[1:])) // num_inputs(layer)


def rows(layer: Any, activation: Array, picked: Array) -> Array:
    """Return the input rows that a layer multiplies with its kernel.

    Args:
        activation: the layer's input, samples first.
        picked: positions, counted over all samples.

    Returns:
        Shape (groups, positions, inputs of a unit).
    """
    if isinstance(layer, SEPARABLE):
        return _flat_window(depthwise_half(layer, activation), picked)
    if isinstance(layer, WINDOWED):
        window = _windows(layer, activation, picked)
        groups = num_groups(layer)
        split = window.reshape(*window.shape[:2], groups, -1).transpose(2, 0, 1, 3)
        return split.reshape(groups, len(picked), -1)
    if isinstance(layer, keras.layers.EinsumDense):
        activation = _summed_axes_last(layer.equation, activation)
    return activation.reshape(-1, num_inputs(layer))[picked][None]


def _layout(layer: Any) -> Layout:
    kernel = weights_of(layer)
    if isinstance(layer, DEPTHWISE):  # (*window, channels, multiplier)
        rank = len(kernel.shape)
        return Layout(tuple(kernel.shape), tuple(range(rank - 2)), (rank - 2, rank - 1))
    return layout_of(layer, kernel)


def _window_shape(layer: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the output positions of one sample."""
    return tuple(layer.compute_output_shape(tuple(shape))[1:-1])


def _windows(layer: Any, activation: Array, picked: Array) -> Array:
    """Return the inputs under each window, shape (positions, taps of the window, channels).

    Values over the border, and between the inputs of a transposed convolution, are zero.
    """
    inside = activation.shape[1:-1]
    outside = _window_shape(layer, activation.shape)
    sample, *positions = np.unravel_index(picked, (len(activation), *outside))
    taps = list(np.ndindex(*layer.kernel_size))
    windows = np.zeros((len(picked), len(taps), activation.shape[-1]), activation.dtype)
    for number, tap in enumerate(taps):
        sources, valid = [], np.ones(len(picked), dtype=np.bool_)
        for axis, position in enumerate(positions):
            source, meets = _source(layer, axis, position, tap[axis], inside[axis], outside[axis])
            valid &= meets & (source >= 0) & (source < inside[axis])
            sources.append(source)
        windows[valid, number] = activation[(sample[valid], *(source[valid] for source in sources))]
    return windows


def _source(
    layer: Any, axis: int, position: Array, tap: int, num_inside: int, num_outside: int
) -> tuple[Array, Array | bool]:
    """Return the input index of a window's tap at output positions, along one axis, and whether there is an input.

    A transposed convolution is the convolution from its output to its input, reversed.

    Args:
        layer: the convolution.
        axis: the spatial axis.
        position: output positions along it.
        tap: index within the window.
        num_inside: size of the input along the axis.
        num_outside: size of the output along the axis.
    """
    stride, reach = layer.strides[axis], tap * layer.dilation_rate[axis]
    extent = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
    backwards = isinstance(layer, TRANSPOSED)
    large, small = (num_outside, num_inside) if backwards else (num_inside, num_outside)
    before = {
        "valid": 0,
        "causal": extent - 1,
        "same": max((small - 1) * stride + extent - large, 0) // 2,
    }[layer.padding]
    if backwards:
        return (position + before - reach) // stride, (position + before - reach) % stride == 0
    return position * stride + reach - before, True


def _flat_window(activation: Array, picked: Array) -> Array:
    """Return the rows of a window of size one."""
    return activation.reshape(-1, activation.shape[-1])[picked][None]


def _einsum_axes(equation: str) -> tuple[str, str] | None:
    """Return the summed letters and the unit letters, in the order of the kernel; None for other products.

    >>> _einsum_axes("abc,cde->abde"), _einsum_axes("...x,xy->...y"), _einsum_axes("ab,ab->a")
    (('c', 'de'), ('x', 'y'), None)
    """
    operands, output = equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    if "..." in equation and not (inputs.startswith("...") and output.startswith("...")):
        return None
    inputs, output = inputs.removeprefix("..."), output.removeprefix("...")
    summed = "".join(letter for letter in kernel if letter in inputs and letter not in output)
    units = "".join(letter for letter in kernel if letter in output and letter not in inputs)
    kept = [letter for letter in inputs if letter in output and letter not in kernel]
    plain = len(summed) + len(units) == len(kernel) and len(summed) + len(kept) == len(inputs)
    return (summed, units) if plain and set(output) == {*kept, *units} else None


def _summed_axes_last(equation: str, activation: Array) -> Array:
    """Move the summed axes of an EinsumDense's input to the end, in the order of its kernel."""
    axes = _einsum_axes(equation)
    assert axes is not None, equation
    letters = equation.replace(" ", "").split(",")[0].removeprefix("...")
    first = activation.ndim - len(letters)
    last = [first + letters.index(letter) for letter in axes[0]]
    return activation.transpose([axis for axis in range(activation.ndim) if axis not in last] + last)
