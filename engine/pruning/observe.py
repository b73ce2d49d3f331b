"""Observe a model on data: the inputs of criteria other than the weights. The model does not change."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from engine.arrays import Array
from engine.models.following_batchnorm import batchnorm_behind
from engine.models.graph import Walk, graph_of
from engine.models.layout import Layout, depthwise_half
from engine.models.prunable import SEPARABLE, Kernel, num_groups
from engine.parts import Inputs, Outputs, as_model_input

Batch = tuple[Inputs, Outputs]
"""Model inputs, and labels as the loss takes them."""


@dataclass(frozen=True)
class Observer:
    """A model, its kernels, and the data to observe it on."""

    model: Any
    kernels: Sequence[Kernel]
    loss: Any
    batches: Callable[[], Iterable[Batch]]

    def gradients(self, names: Container[str]) -> Iterator[dict[str, Array]]:
        """Yield for each batch the gradients of kernels, as matrices (inputs, units); BatchNorm as in inference."""
        kernels = self._named(names)
        variables = [kernel.variable.value for kernel in kernels]
        for x, y in self.batches():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = keras.ops.mean(self.loss(y, self.model(as_model_input(x), training=False)))
            found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            yield {
                kernel.name: kernel.layout.matrix(np.asarray(gradient))
                for kernel, gradient in zip(kernels, found, strict=True)
            }

    def input_norms(self, names: Container[str]) -> dict[str, Array]:
        """Return for each weight of a kernel the norm of its input over all batches, shape (inputs, units).

        Except at borders, every place of a kernel's window receives the same inputs, so all places share the norm of
        their feature.
        """
        count = sum(len(x) for x, _ in self.batches())
        walk = Walk(self.model, lambda: (x for x, _ in self.batches()), count)
        along = sorted(self._named(names), key=lambda kernel: min(walk.graph.calls_of(kernel.place.layer)))
        return {kernel.name: self._norms_before(kernel, walk) for kernel in along}

    def _named(self, names: Container[str]) -> list[Kernel]:
        return [kernel for kernel in self.kernels if kernel.name in names]

    def _norms_before(self, kernel: Kernel, walk: Walk) -> Array:
        layer, layout = kernel.place.layer, kernel.layout
        calls = walk.graph.calls_of(layer)
        squares_of = _squares_einsum if isinstance(layer, keras.layers.EinsumDense) else _squares
        squares = np.zeros(layout.matrix_shape)
        walk.advance(min(calls))
        for read in chain.from_iterable(walk.inputs(calls)):
            own = depthwise_half(layer, read) if isinstance(layer, SEPARABLE) else read
            squares += squares_of(np.square(own, dtype=np.float64), layer, layout)
        return np.sqrt(squares)

    def gammas(self, names: Container[str]) -> dict[str, Array]:
        """Return for each kernel the scales of the BatchNorm directly behind its layer, shape (units,)."""
        graph, found = graph_of(self.model), {}
        for kernel in self._named(names):
            norm = batchnorm_behind(kernel.place.layer, graph)
            assert norm is not None, "the fit of spec and model was checked"
            found[kernel.name] = np.asarray(norm.gamma)
        return found


def _squares(squared: Array, layer: Any, layout: Layout) -> Array:
    """Sum squares over positions, shape (inputs, units); each unit has the sums of the channels of its group."""
    axis = 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else -1
    channels = np.moveaxis(squared, axis, -1).reshape(-1, squared.shape[axis]).sum(axis=0)
    features = channels.reshape(num_groups(layer), layout.num_features).T
    of_units = np.repeat(features, layout.num_units // num_groups(layer), axis=1)
    return np.tile(of_units, (layout.num_inputs // layout.num_features, 1))


def _squares_einsum(squared: Array, layer: Any, layout: Layout) -> Array:
    """Sum squares by the equation of an EinsumDense: over the axes of the input that the kernel does not have."""
    inputs, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
    shared = "".join(letter for letter in kernel if letter in inputs)
    sums = np.einsum(f"{inputs}->...{shared}", squared)
    sums = sums.sum(axis=tuple(range(sums.ndim - len(shared))))
    shape = [size if letter in shared else 1 for letter, size in zip(kernel, layout.shape, strict=True)]
    return layout.matrix(np.broadcast_to(sums.reshape(shape), layout.shape))


def mean_scores(scores: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the mean of score tables over batches.

    >>> mean_scores([{"a": np.array([1.0])}, {"a": np.array([3.0])}])
    {'a': array([2.])}
    """
    total: dict[str, Array] = {}
    num_tables = 0
    for table in scores:
        num_tables += 1
        total = {name: total.get(name, 0.0) + values for name, values in table.items()}
    return {name: values / num_tables for name, values in total.items()}
