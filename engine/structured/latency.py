"""How long a smaller model would take, from a table of its layers measured in LiteRT on this machine.

Each kind of kernel, at each size of its input, is a model of its own; timed at full and at a quarter of its input
and output channels, the time between is a + b in + c out + d in out. The rest of the model, measured as a whole,
is taken to stay as it is: elementwise layers, and those with kernels that have no row here (attention, recurrent).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
from pydantic import TypeAdapter

from engine.checkpoint.sections import Section, as_array, from_array
from engine.export import litert
from engine.export.timing import time_files
from engine.models.graph import graph_of
from engine.parts import Inputs, by_output
from engine.structured.layer_timing import Dim, Row, full, rows_of
from secateur.errors import ConversionFailed
from secateur.specs.spec import Scheme

NUM_RUNS: Final = 60
MAX_SECONDS: Final = 0.6
"""For one model of one layer; slow ones get fewer runs."""

NARROW: Final = 4
"""Measured are all channels, and one of so many."""

ENDS: Final = (4, 64)
"""Sides of the pictures, of 16 channels, on which the way into a file and out of it is timed."""

Kept = Callable[[Any, int], int]
"""How many indices of a variable's axis stay."""


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


@dataclass(frozen=True)
class Timings:
    """What was timed of a model: numbers alone, that another process can go on with."""

    whole: float
    """Milliseconds of a single sample."""
    kinds: tuple[Corners | None, ...]
    """Of each kind of layer, in the order of their first calls; None for what LiteRT has nothing for."""

    def state_dict(self) -> Section:
        """The timings as a section of a checkpoint."""
        return {"timings": as_array(TIMINGS.dump_python(self, mode="json"))}

    @classmethod
    def from_state_dict(cls, section: Section) -> "Timings":
        """The saved timings, equal to the last bit."""
        return TIMINGS.validate_python(from_array(section["timings"]))

    def table(self, model: Any) -> LatencyTable:
        """The table of a model of the layers that were timed."""
        rows = list(rows_of(graph_of(model)))
        known = dict(zip(_kinds(rows), self.kinds, strict=True))
        entries = ((row, known[row.signature]) for row in rows)
        return LatencyTable(
            self.whole,
            tuple(Entry(corners, row.inputs, row.outputs) for row, corners in entries if corners is not None),
        )


TIMINGS: Final = TypeAdapter(Timings)


def measure(
    model: Any, scheme: Scheme, on_progress: Callable[[float], None] = lambda _: None, *, inputs: Inputs | None = None
) -> Timings:
    """Time a model and each kind of its layers, in files of a scheme.

    Args:
        on_progress: told the share that is done.
        inputs: what the model is run on, shape (n, ...); noise, with axes of unknown size 1 long, when left out.

    Raises:
        ConversionFailed: LiteRT cannot express the model as a whole. A layer that alone cannot be is left out.
    """
    kinds = _kinds(list(rows_of(graph_of(model))))
    whole = _milliseconds(model, scheme, _noise(model) if inputs is None else inputs)
    ends, timed = _Ends.measure(scheme), list[Corners | None]()
    for number, row in enumerate(kinds.values(), start=1):
        timed.append(_corners(row, scheme, ends))
        on_progress(number / len(kinds))
    return Timings(whole, tuple(timed))


def _kinds(rows: Sequence[Row]) -> dict[str, Row]:
    """A row for each kind of layer, by its signature."""
    return {row.signature: row for row in rows}


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


def _corners(row: Row, scheme: Scheme, ends: _Ends) -> Corners | None:
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
    (found,) = time_files([runner], inputs, num_runs=NUM_RUNS, max_seconds=MAX_SECONDS).latencies()
    return found.p50_ms


def _noise(model: Any) -> Inputs:
    """A few inputs; whole numbers are all 0, which every table of words has."""
    drawn = []
    for tensor in model.inputs:
        size = (4, *(size or 1 for size in tensor.shape[1:]))
        values = np.random.default_rng(0).normal(size=size) if "float" in tensor.dtype else np.zeros(size)
        drawn.append(values.astype(tensor.dtype))
    return by_output([tensor.name for tensor in model.inputs], drawn)


def _narrow(size: int, step: int) -> int:
    """About a quarter, in whole steps."""
    return max(step, size // NARROW // step * step)


def _share(size: int, narrow: int, wide: int) -> float:
    """How far a size lies on the way from few to all; of a width that does not vary, all the way."""
    return (size - narrow) / (wide - narrow) if wide > narrow else 1.0
