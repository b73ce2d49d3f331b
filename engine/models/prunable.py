"""Which kernels of a Keras model can be pruned, and why the others are left alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from engine.models.layout import Layout, layout_of

PRUNABLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


@dataclass(frozen=True)
class Place:
    """A layer and its name in the job spec: nested models put theirs in front, as in ``encoder/conv_1``."""

    name: str
    layer: Any


@dataclass(frozen=True)
class Kernel:
    """A place with the variable that pruning cuts."""

    place: Place
    variable: Any

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def bias(self) -> Any | None:
        """One number a unit, or None when the layer has none."""
        bias = getattr(self.place.layer, "bias", None)
        return bias if bias is not None and math.prod(bias.shape) == self.layout.num_units else None

    def alive(self, weights: Any) -> Any:
        """Units that have a weight left, in the shape of the bias; ``weights`` may be a mask."""
        assert self.bias is not None, "of a layer with a bias"
        return self.layout.matrix(weights).any(axis=0).reshape(tuple(self.bias.shape))

    @property
    def layout(self) -> Layout:
        """How the kernel is read as a matrix (inputs, units)."""
        return layout_of(self.place.layer, self.variable)


def places(model: Any, prefix: str = "") -> Iterator[Place]:
    """Every layer with weights of its own, nested models opened, in the model's order."""
    for layer in model.layers:
        name = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from places(layer, prefix=f"{name}/")
        else:
            yield Place(name, layer)


def kernel_of(layer: Any) -> Any | None:
    """The variable that pruning would cut, or None for a layer that has none."""
    if isinstance(layer, PRUNABLE):
        return layer._kernel if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense)) else layer.kernel
    if isinstance(layer, SEPARABLE):
        return layer.pointwise_kernel
    return None


def reason_to_skip(layer: Any, outputs: set[int]) -> str | None:
    """Why a layer is never pruned, or None when it may be."""
    if not layer.weights:
        return "it has no weights"
    if isinstance(layer, DEPTHWISE):
        return "depthwise kernels are few and every one of them counts"
    if kernel_of(layer) is None:
        return f"{type(layer).__name__} has no kernel that pruning knows"
    if id(layer) in outputs:
        return "it makes the model's output, and every class needs its weights"
    return None


def prunable_kernels(model: Any) -> list[Kernel]:
    """Every kernel that may be pruned; a layer that is called twice stands once."""
    outputs = output_layers(model)
    found: dict[int, Kernel] = {}
    for place in places(model):
        if id(place.layer) not in found and reason_to_skip(place.layer, outputs) is None:
            found[id(place.layer)] = Kernel(place, kernel_of(place.layer))
    return list(found.values())


def other_weights(model: Any) -> dict[str, Any]:
    """The trainable matrices of a model that pruning leaves alone, by layer and variable: zeros in them are kept.

    Biases and scales are left out, where a zero is an ordinary value.
    """
    pruned = {id(kernel.variable) for kernel in prunable_kernels(model)}
    return {
        f"{place.name}/{number}": variable
        for place in places(model)
        for number, variable in enumerate(place.layer.trainable_weights)
        if len(variable.shape) > 1 and id(variable) not in pruned
    }


def output_layers(model: Any) -> set[int]:
    """Ids of the layers that make the model's outputs: the last ones with a kernel before each output."""
    found: set[int] = set()
    open_tensors, seen = list(model.outputs), set()
    while open_tensors:
        tensor = open_tensors.pop()
        operation, node_index, _ = tensor._keras_history
        if (id(operation), node_index) in seen:
            continue
        seen.add((id(operation), node_index))
        inside = output_layers(operation) if isinstance(operation, keras.Model) else set()
        if inside:
            found |= inside
        elif kernel_of(operation) is not None:
            found.add(id(operation))
        else:
            open_tensors += operation._inbound_nodes[node_index].input_tensors
    return found


def num_groups(layer: Any) -> int:
    """Groups that know nothing of each other."""
    if isinstance(layer, DEPTHWISE):
        return int(layer.kernel.shape[-2])
    return int(layer.groups) if isinstance(layer, CONVOLUTIONS) else 1
