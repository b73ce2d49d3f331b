"""Watch a model at work: what criteria look at beside the weights. Nothing here changes the model."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from engine.arrays import Array
from engine.graph import batchnorm_behind, feeds
from engine.prunable import Kernel

Batch = tuple[Array, Array]
"""Model inputs, and labels as the loss takes them."""


@dataclass(frozen=True)
class Observer:
    """A model, its kernels, and the data to watch it on."""

    model: Any
    kernels: Sequence[Kernel]
    loss: Any
    batches: Callable[[], Iterable[Batch]]

    def gradients(self, names: Container[str]) -> Iterator[dict[str, Array]]:
        """Per batch, the gradient of the loss by kernel, as a matrix (inputs, units); BatchNorm as in inference."""
        kernels = self._named(names)
        variables = [kernel.variable.value for kernel in kernels]
        for x, y in self.batches():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = keras.ops.mean(self.loss(y, self.model(x, training=False)))
            found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            yield {
                kernel.name: kernel.layout.matrix(np.asarray(gradient))
                for kernel, gradient in zip(kernels, found, strict=True)
            }

    def input_norms(self, names: Container[str]) -> dict[str, Array]:
        """Per kernel, the norm of each of its inputs over all batches, shape (inputs,), the same at every position.

        What reaches a kernel at one place of its window reaches it at every other, but for the borders; so all
        the places share the norm of their feature.
        """
        return {kernel.name: self._norms_before(kernel) for kernel in self._named(names)}

    def _named(self, names: Container[str]) -> list[Kernel]:
        return [kernel for kernel in self.kernels if kernel.name in names]

    def _norms_before(self, kernel: Kernel) -> Array:
        layer, layout = kernel.place.layer, kernel.layout
        depthwise = isinstance(layer, (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D))
        squares = np.zeros(layout.num_features)
        for feed in feeds(layer, self.model):
            for x, _ in self.batches():
                given = feed(x)
                given = _depthwise_part(layer, given) if depthwise else given
                squares += _squares(np.asarray(given), layout.num_features, layer)
        return np.tile(np.sqrt(squares), layout.num_inputs // layout.num_features)

    def gammas(self, names: Container[str]) -> dict[str, Array]:
        """Per kernel, the scales of the BatchNorm right behind its layer, shape (units,)."""
        found = {}
        for kernel in self._named(names):
            norm = batchnorm_behind(kernel.place.layer, self.model)
            assert norm is not None, "the fit of spec and model was checked"
            size = kernel.layout.num_units
            found[kernel.name] = np.asarray(norm.gamma) if norm.scale else np.ones(size)
        return found


def _depthwise_part(layer: Any, given: Any) -> Any:
    """What the pointwise kernel of a separable convolution multiplies: its depthwise half's result."""
    return keras.ops.depthwise_conv(
        given, layer.depthwise_kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
    )


def _squares(given: Array, num_features: int, layer: Any) -> Array:
    """Sum of squares of each feature; several input axes, and groups of channels, are folded onto the kernel's axis."""
    axis = 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else -1
    moved = np.moveaxis(given, axis, -1)
    return np.asarray(np.square(moved.reshape(-1, num_features), dtype=np.float64).sum(axis=0))


def mean_scores(scores: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """The mean of score tables over batches.

    >>> mean_scores([{"a": np.array([1.0])}, {"a": np.array([3.0])}])
    {'a': array([2.])}
    """
    total: dict[str, Array] = {}
    num_tables = 0
    for table in scores:
        num_tables += 1
        total = {name: total.get(name, 0.0) + values for name, values in table.items()}
    return {name: values / num_tables for name, values in total.items()}
