"""What a layer reads in a cut network, and what it gave in the dense one: gathered on samples as normal equations."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.models.graph import Walk
from engine.parts import Inputs
from engine.reconstruction import rows
from engine.reconstruction.solve import NormalEquations
from engine.reconstruction.targets import Target

MIN_ROWS, ROWS_PER_INPUT = 20_000, 10
"""Positions that a layer is solved on: the larger of the two, where the samples have as many."""

MIN_SAMPLES = 256
"""Samples that these positions are taken from at least, however many positions each has."""


@dataclass(frozen=True)
class Samples:
    """Unlabelled model inputs, in batches that can be read again and again."""

    batches: Callable[[], Iterable[Inputs]]
    """Asked whenever inputs are needed, so that nothing holds all of them when it makes them one by one."""
    count: int
    """Samples in all batches together."""
    seed: int


def equations_of(target: Target, now: Walk, then: Walk, samples: Samples) -> NormalEquations:
    """Normal equations of a layer: its inputs in the cut network against what the dense one makes of its own.

    Args:
        now: stands in the cut network, not behind the layer; moved up to it.
        then: the same in the dense network. May be ``now`` itself, when nothing is cut yet.
    """
    kernel = grouped_kernel(target.twin)
    groups, num_inputs, num_units = grouped_kernel(target.layer).shape
    has_bias = target.has_bias_row
    equations = NormalEquations.empty(groups, num_inputs + has_bias, num_units, has_bias=has_bias)
    for found, original in rows_of(target, now, then, samples):
        equations.add(_with_bias(found, has_bias), _staying(original @ kernel, target.units, groups))
    return equations


def rows_of(target: Target, now: Walk, then: Walk, samples: Samples) -> Iterator[tuple[Array, Array]]:
    """What a layer multiplies its kernel with, (groups, positions, inputs of a unit), in both networks, at the same
    sampled positions; batch by batch."""
    here, there = now.graph.calls_of(target.layer), then.graph.calls_of(target.twin)
    now.advance(min(here))
    then.advance(min(there))
    rng = np.random.default_rng(samples.seed)
    num_rows = max(MIN_ROWS, ROWS_PER_INPUT * rows.num_inputs(target.layer))
    seen = 0
    for inputs, originally in _side_by_side(now, here, then, there):
        positions = [rows.num_positions(target.layer, each.shape) for each in inputs]
        enough = min(samples.count, max(MIN_SAMPLES, math.ceil(num_rows / sum(positions))))
        for each, original, count in zip(inputs, originally, positions, strict=True):
            available, wanted = count * len(each), math.ceil(num_rows * len(each) / enough / len(here))
            picked = np.sort(rng.choice(available, min(available, wanted), replace=False))
            found = rows.rows(target.layer, each, picked)
            yield found, found if now is then else rows.rows(target.twin, original, picked)
        seen += len(inputs[0])
        if seen >= enough:
            break


def _side_by_side(now: Walk, here: Sequence[int], then: Walk, there: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """What the layer reads in both networks, batch by batch; computed once where both are the same."""
    if now is then:
        return ((inputs, inputs) for inputs in now.inputs(here))
    return zip(now.inputs(here), then.inputs(there), strict=True)


def _staying(made: Array, units: Array | None, num_groups: int) -> Array:
    """Of what the dense layer made, (groups, positions, units), that of the units that the cut layer still has."""
    return made if units is None else rows.apart(rows.side_by_side(made)[:, units], num_groups)


def grouped_kernel(layer: Any) -> Array:
    """A layer's kernel as (groups, inputs of a unit, units of a group)."""
    kernel = keras.ops.convert_to_numpy(rows.weights_of(layer))
    return rows.grouped(layer, np.asarray(kernel))


def _with_bias(inputs: Array, has_bias: bool) -> Array:
    """Rows with a one at the end for the bias."""
    return np.pad(inputs, ((0, 0), (0, 0), (0, 1)), constant_values=1.0) if has_bias else inputs
