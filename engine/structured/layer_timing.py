"""Layers that can be built alone at any width for timing, each as a row of a table."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras

from engine.models.costs import known_shapes
from engine.models.graph import Graph
from engine.models.layout import TRANSPOSED
from engine.models.prunable import DEPTHWISE, SEPARABLE, kernel_of

Dim = tuple[Any, int]
"""A variable and one of its axes."""


def full(variable: Any, axis: int) -> int:
    """Return the full size of an axis."""
    return int(variable.shape[axis])


@dataclass(frozen=True)
class Row:
    """A layer that can be built alone at any width."""

    layer: Any
    shape: tuple[int, ...]
    """The shape of its input, without samples."""
    inputs: Dim
    outputs: Dim | None
    config: Callable[[int, int], Mapping[str, Any]]
    """From numbers of inputs and outputs to the config entries to change."""
    channels: Callable[[int], int] = lambda inputs: inputs
    """From inputs of the kernel to channels of the input tensor."""
    steps: tuple[int, int] = (1, 1)
    """Widths are multiples of these."""

    @property
    def signature(self) -> str:
        """A key that is equal for layers with the same latency."""
        config = {key: value for key, value in self.layer.get_config().items() if not key.endswith(IRRELEVANT)}
        sizes = [full(*dim) for dim in (self.inputs, self.outputs) if dim is not None]
        return json.dumps([type(self.layer).__name__, self.shape, sizes, config], sort_keys=True, default=str)

    def alone(self, inputs: int, outputs: int) -> Any:
        """Build a model of the layer alone, with new weights."""
        plain = {key: value for key, value in self.layer.get_config().items() if not key.endswith(IRRELEVANT)}
        layer = type(self.layer).from_config(plain | dict(self.config(inputs, outputs)))
        first = getattr(layer, "data_format", None) == "channels_first"
        channels = self.channels(inputs)
        shape = (channels, *self.shape[1:]) if first else (*self.shape[:-1], channels)
        return keras.Sequential([keras.Input(shape), layer])


IRRELEVANT: Final = ("name", "trainable", "dtype", "_initializer", "_regularizer", "_constraint")
"""Ends of keys in a layer's config that do not affect its latency."""


def rows_of(graph: Graph) -> Iterator[Row]:
    """Yield the rows of calls, in order; calls without a known kind are skipped."""
    shapes = known_shapes(graph)
    for call in graph.calls:
        shape = shapes[call.source][1:] if call.reads else ()
        make = next((make for kinds, make in KINDS if isinstance(call.operation, kinds)), None)
        if make is not None and None not in shape:
            yield make(call.operation, shape)


def _dense(layer: Any, shape: Any) -> Row:
    kernel = kernel_of(layer)
    return Row(layer, shape, (kernel, 0), (kernel, 1), lambda inputs, outputs: {"units": outputs})


def _convolution(layer: Any, shape: Any) -> Row:
    kernel, groups, last = layer.kernel, layer.groups, len(layer.kernel.shape) - 1
    if groups > 1 and kernel.shape[last - 1] == 1:  # equivalent to a depthwise convolution: whole groups are removed
        each = kernel.shape[last] // groups
        return Row(
            layer,
            shape,
            (kernel, last),
            None,
            lambda inputs, _: {"filters": inputs, "groups": inputs // each},
            channels=lambda inputs: inputs // each,
            steps=(each, 1),
        )
    return Row(
        layer,
        shape,
        (kernel, last - 1),
        (kernel, last),
        lambda inputs, outputs: {"filters": outputs},
        channels=lambda inputs: inputs * groups,
        steps=(1, groups),
    )


def _transposed(layer: Any, shape: Any) -> Row:
    kernel, last = layer.kernel, len(layer.kernel.shape) - 1
    return Row(layer, shape, (kernel, last), (kernel, last - 1), lambda inputs, outputs: {"filters": outputs})


def _depthwise(layer: Any, shape: Any) -> Row:
    return Row(layer, shape, (layer.kernel, len(layer.kernel.shape) - 2), None, lambda inputs, outputs: {})


def _separable(layer: Any, shape: Any) -> Row:
    depth, point = layer.depthwise_kernel, layer.pointwise_kernel
    last = len(point.shape) - 1
    return Row(layer, shape, (depth, last - 1), (point, last), lambda inputs, outputs: {"filters": outputs})


KINDS: Final[tuple[tuple[Any, Callable[[Any, Any], Row]], ...]] = (
    (keras.layers.Dense, _dense),
    (TRANSPOSED, _transposed),
    (SEPARABLE, _separable),
    (DEPTHWISE, _depthwise),
    ((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), _convolution),
)
