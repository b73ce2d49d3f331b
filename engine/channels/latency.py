"""How long a smaller model would take, from a table of its layers measured in LiteRT on this machine.

Each kind of kernel, at each size of its input, is a model of its own; timed at full and at a quarter of its input
and output channels, the time between is a + b in + c out + d in out. The rest of the model, measured as a whole,
is taken to stay as it is: elementwise layers, and those with kernels that have no row here (attention, recurrent).
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from engine.costs import known_shapes
from engine.graph import Call, Graph, graph_of
from engine.layout import TRANSPOSED
from engine.measuring import litert
from engine.parts import Inputs, side_by_side
from engine.prunable import DEPTHWISE, SEPARABLE, kernel_of
from jobspec.errors import ConversionFailed
from jobspec.spec import Scheme

NUM_RUNS: Final = 60
MAX_SECONDS: Final = 0.6
"""For one model of one layer; slow ones get fewer runs."""

NARROW: Final = 4
"""Measured are all channels, and one of so many."""

ENDS: Final = (4, 64)
"""Sides of the pictures, of 16 channels, on which the way into a file and out of it is timed."""

Dim = tuple[Any, int]
"""A variable and one of its axes."""

Kept = Callable[[Any, int], int]
"""How many indices of a variable's axis stay."""


def full(variable: Any, axis: int) -> int:
    """All indices stay."""
    return int(variable.shape[axis])


@dataclass(frozen=True)
class Corners:
    """A time at few and all input channels, times few and all output channels."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    times: tuple[tuple[float, float], tuple[float, float]]
    """Milliseconds, by inputs, then outputs."""

    def milliseconds(self, inputs: int, outputs: int) -> float:
        """Bilinear through the corners, and never negative.

        >>> Corners((1, 5), (2, 10), ((1.0, 3.0), (5.0, 9.0))).milliseconds(3, 6)
        4.5
        """
        right, up = _share(inputs, *self.inputs), _share(outputs, *self.outputs)
        (a, b), (c, d) = self.times
        return max(0.0, (1 - right) * ((1 - up) * a + up * b) + right * ((1 - up) * c + up * d))


@dataclass(frozen=True)
class Entry:
    """A call of a layer: its times, and which axes tell how wide it is."""

    corners: Corners
    inputs: Dim
    outputs: Dim | None
    """None for a kernel of one width, such as a depthwise one."""

    def milliseconds(self, kept: Kept) -> float:
        """The time with what is kept."""
        return self.corners.milliseconds(kept(*self.inputs), kept(*self.outputs) if self.outputs is not None else 1)


@dataclass(frozen=True)
class LatencyTable:
    """What a model takes, and how much of it each of its calls."""

    whole: float
    """Milliseconds of a single sample, as measured."""
    entries: tuple[Entry, ...]

    def milliseconds(self, kept: Kept) -> float:
        """What the model would take with fewer channels; with all of them, what it was measured to take.

        Layers alone can take longer than in the whole; their share is then all of it.
        """
        there = sum(entry.milliseconds(full) for entry in self.entries)
        left = sum(entry.milliseconds(kept) for entry in self.entries)
        return self.whole * left / there if there > self.whole else self.whole - there + left


def measure(
    model: Any, scheme: Scheme, on_progress: Callable[[float], None] = lambda _: None, *, inputs: Inputs | None = None
) -> LatencyTable:
    """Time a model and each kind of its layers, in files of a scheme.

    Args:
        on_progress: told the share that is done.
        inputs: what the model is run on, shape (n, ...); noise, with axes of unknown size 1 long, when left out.

    Raises:
        ConversionFailed: LiteRT cannot express the model as a whole. A layer that alone cannot be is left out.
    """
    graph = graph_of(model)
    rows = [(call, row) for call, row in _rows(graph) if row is not None]
    signatures = {row.signature: row for _, row in rows}
    whole = _milliseconds(model, scheme, _noise(model) if inputs is None else inputs)
    ends = _Ends.measure(scheme)
    known: dict[str, Corners | None] = {}
    for number, (signature, row) in enumerate(signatures.items(), start=1):
        known[signature] = _corners(row, scheme, ends)
        on_progress(number / len(signatures))
    entries = ((row, known[row.signature]) for _, row in rows)
    return LatencyTable(
        whole, tuple(Entry(corners, row.inputs, row.outputs) for row, corners in entries if corners is not None)
    )


@dataclass(frozen=True)
class _Row:
    """A layer that can be built alone at any width."""

    layer: Any
    shape: tuple[int, ...]
    """Of its input, without samples."""
    inputs: Dim
    outputs: Dim | None
    config: Callable[[int, int], Mapping[str, Any]]
    """What to change for so many inputs and outputs."""
    channels: Callable[[int], int] = lambda inputs: inputs
    """Of the input tensor, for so many inputs of the kernel."""
    steps: tuple[int, int] = (1, 1)
    """Widths are multiples of these."""

    @property
    def signature(self) -> str:
        """Equal for layers that take the same time."""
        config = {key: value for key, value in self.layer.get_config().items() if not key.endswith(IRRELEVANT)}
        sizes = [full(*dim) for dim in (self.inputs, self.outputs) if dim is not None]
        return json.dumps([type(self.layer).__name__, self.shape, sizes, config], sort_keys=True, default=str)

    def alone(self, inputs: int, outputs: int) -> Any:
        """A model of the layer alone, with weights of its own."""
        plain = {key: value for key, value in self.layer.get_config().items() if not key.endswith(IRRELEVANT)}
        layer = type(self.layer).from_config(plain | dict(self.config(inputs, outputs)))
        first = getattr(layer, "data_format", None) == "channels_first"
        channels = self.channels(inputs)
        shape = (channels, *self.shape[1:]) if first else (*self.shape[:-1], channels)
        return keras.Sequential([keras.Input(shape), layer])


IRRELEVANT: Final = ("name", "trainable", "dtype", "_initializer", "_regularizer", "_constraint")
"""Ends of keys in a layer's config that say nothing of its speed."""


def _rows(graph: Graph) -> Iterator[tuple[Call, _Row | None]]:
    """Calls with the rows that they have in the table."""
    shapes = known_shapes(graph)
    for call in graph.calls:
        shape = shapes[call.source][1:] if call.reads else ()
        make = next((make for kinds, make in KINDS if isinstance(call.operation, kinds)), None)
        yield call, make(call.operation, shape) if make is not None and None not in shape else None


def _dense(layer: Any, shape: Any) -> _Row:
    kernel = kernel_of(layer)
    return _Row(layer, shape, (kernel, 0), (kernel, 1), lambda inputs, outputs: {"units": outputs})


def _convolution(layer: Any, shape: Any) -> _Row:
    kernel, groups, last = layer.kernel, layer.groups, len(layer.kernel.shape) - 1
    if groups > 1 and kernel.shape[last - 1] == 1:  # a depthwise one in other words: whole groups go
        each = kernel.shape[last] // groups
        return _Row(
            layer,
            shape,
            (kernel, last),
            None,
            lambda inputs, _: {"filters": inputs, "groups": inputs // each},
            channels=lambda inputs: inputs // each,
            steps=(each, 1),
        )
    return _Row(
        layer,
        shape,
        (kernel, last - 1),
        (kernel, last),
        lambda inputs, outputs: {"filters": outputs},
        channels=lambda inputs: inputs * groups,
        steps=(1, groups),
    )


def _transposed(layer: Any, shape: Any) -> _Row:
    kernel, last = layer.kernel, len(layer.kernel.shape) - 1
    return _Row(layer, shape, (kernel, last), (kernel, last - 1), lambda inputs, outputs: {"filters": outputs})


def _depthwise(layer: Any, shape: Any) -> _Row:
    return _Row(layer, shape, (layer.kernel, len(layer.kernel.shape) - 2), None, lambda inputs, outputs: {})


def _separable(layer: Any, shape: Any) -> _Row:
    depth, point = layer.depthwise_kernel, layer.pointwise_kernel
    last = len(point.shape) - 1
    return _Row(layer, shape, (depth, last - 1), (point, last), lambda inputs, outputs: {"filters": outputs})


KINDS: Final[tuple[tuple[Any, Callable[[Any, Any], _Row]], ...]] = (
    (keras.layers.Dense, _dense),
    (TRANSPOSED, _transposed),
    (SEPARABLE, _separable),
    (DEPTHWISE, _depthwise),
    ((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), _convolution),
)


@dataclass(frozen=True)
class _Ends:
    """The way into a file and out of it: call, copies, and in int8 the change of type. Not a layer's own time."""

    call: float
    element: float
    """Milliseconds of one element of an input or output."""

    @classmethod
    def measure(cls, scheme: Scheme) -> "_Ends":
        """By pooling, the cheapest of layers in every scheme, at two sizes."""
        sizes, times = [], []
        for side in ENDS:
            model = keras.Sequential([keras.Input((side, side, 16)), keras.layers.MaxPooling2D()])
            sizes.append(_num_elements(model))
            times.append(_milliseconds(model, scheme, _noise(model)))
        element = max(0.0, (times[1] - times[0]) / (sizes[1] - sizes[0]))
        return cls(max(0.0, times[0] - element * sizes[0]), element)

    def of(self, model: Any) -> float:
        """Milliseconds that a model spends there."""
        return self.call + self.element * _num_elements(model)


def _corners(row: _Row, scheme: Scheme, ends: _Ends) -> Corners | None:
    """Time a layer alone at its corners; None when LiteRT has nothing for it."""
    sizes = [
        (_narrow(full(*dim), step), full(*dim)) if dim is not None else (1, 1)
        for dim, step in zip((row.inputs, row.outputs), row.steps, strict=True)
    ]
    times: dict[tuple[int, int], float] = {}
    for inputs in sizes[0]:
        for outputs in sizes[1]:
            if (inputs, outputs) in times:
                continue
            model = row.alone(inputs, outputs)
            try:
                taken = _milliseconds(model, scheme, _noise(model))
            except ConversionFailed:
                return None
            times[inputs, outputs] = max(0.0, taken - ends.of(model))
    rows = [(times[inputs, sizes[1][0]], times[inputs, sizes[1][1]]) for inputs in sizes[0]]
    return Corners(sizes[0], sizes[1], (rows[0], rows[1]))


def _num_elements(model: Any) -> int:
    """Of the input and the output of a sample."""
    return sum(math.prod(map(int, tensor.shape[1:])) for tensor in (model.inputs[0], model.outputs[0]))


def _milliseconds(model: Any, scheme: Scheme, inputs: Inputs) -> float:
    """The median of single samples."""
    runner = litert.runner_of(model, litert.convert(model, scheme, calibration=inputs))
    (found,) = litert.latencies([runner], inputs, num_runs=NUM_RUNS, max_seconds=MAX_SECONDS)
    return found.p50_ms


def _noise(model: Any) -> Inputs:
    """A few inputs; whole numbers are all 0, which every table of words has."""
    drawn = []
    for tensor in model.inputs:
        size = (4, *(size or 1 for size in tensor.shape[1:]))
        values = np.random.default_rng(0).normal(size=size) if "float" in tensor.dtype else np.zeros(size)
        drawn.append(values.astype(tensor.dtype))
    return side_by_side([tensor.name for tensor in model.inputs], drawn)


def _narrow(size: int, step: int) -> int:
    """About a quarter, in whole steps."""
    return max(step, size // NARROW // step * step)


def _share(size: int, narrow: int, wide: int) -> float:
    """How far a size lies on the way from few to all; of a width that does not vary, all the way."""
    return (size - narrow) / (wide - narrow) if wide > narrow else 1.0
