"""Kernels as matrices: every kernel that pruning knows is (inputs of a unit, units), however Keras stores it.

A unit is an output column of Dense or a filter of a convolution; its inputs are what it multiplies at one
position. Criteria, structures and the repair work on matrices, so none of them knows a kind of layer.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from engine.arrays import Array

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


@dataclass(frozen=True)
class Layout:
    """Which axes of a kernel are its units and which its inputs; the innermost input axis comes last of those."""

    shape: tuple[int, ...]
    input_axes: tuple[int, ...]
    unit_axes: tuple[int, ...]

    @property
    def num_inputs(self) -> int:
        """Weights of a unit."""
        return int(np.prod([self.shape[axis] for axis in self.input_axes], dtype=int))

    @property
    def num_units(self) -> int:
        return int(np.prod([self.shape[axis] for axis in self.unit_axes], dtype=int))

    @property
    def matrix_shape(self) -> tuple[int, int]:
        return self.num_inputs, self.num_units

    @property
    def num_features(self) -> int:
        """Input features at one position: the innermost input axis. N:M groups lie along it."""
        return self.shape[self.input_axes[-1]] if self.input_axes else 1

    def matrix(self, kernel: Array) -> Array:
        """A kernel as (inputs, units).

        >>> Layout((2, 3, 4), (0, 2), (1,)).matrix(np.zeros((2, 3, 4))).shape
        (8, 3)
        """
        return np.transpose(kernel, self.input_axes + self.unit_axes).reshape(self.num_inputs, self.num_units)

    def kernel(self, matrix: Array) -> Array:
        """The way back.

        >>> layout, kernel = Layout((2, 3, 4), (0, 2), (1,)), np.arange(24).reshape(2, 3, 4)
        >>> bool((layout.kernel(layout.matrix(kernel)) == kernel).all())
        True
        """
        order = self.input_axes + self.unit_axes
        return np.transpose(matrix.reshape([self.shape[axis] for axis in order]), np.argsort(order))


def layout_of(layer: Any, kernel: Any) -> Layout:
    """The layout of a layer's kernel (``prunable.kernel_of``)."""
    shape = tuple(kernel.shape)
    if isinstance(layer, TRANSPOSED):  # (*window, units, features)
        return Layout(shape, (*range(len(shape) - 2), len(shape) - 1), (len(shape) - 2,))
    if isinstance(layer, keras.layers.EinsumDense):
        return _einsum_layout(layer.equation, shape)
    return Layout(shape, tuple(range(len(shape) - 1)), (len(shape) - 1,))


def depthwise_half(layer: Any, activation: Array) -> Array:
    """What a separable convolution multiplies its pointwise kernel with: the result of its depthwise half."""
    return np.asarray(
        keras.ops.depthwise_conv(
            activation,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
    )


def _einsum_layout(equation: str, shape: tuple[int, ...]) -> Layout:
    """Summed axes are inputs, those that appear in the output are units.

    >>> _einsum_layout("abc,cde->abde", (8, 2, 4))
    Layout(shape=(8, 2, 4), input_axes=(0,), unit_axes=(1, 2))
    """
    operands, output = equation.replace(" ", "").split("->")
    letters = operands.split(",")[1]
    units = tuple(axis for axis, letter in enumerate(letters) if letter in output)
    return Layout(shape, tuple(axis for axis in range(len(shape)) if axis not in units), units)
