"""Normal equations of a layer, gathered on samples: its inputs in the pruned network, its outputs in the dense one."""

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
"""Positions that a layer is reconstructed on: the larger of the two, or all when there are fewer."""

MIN_SAMPLES = 256
"""The least number of samples that these positions are taken from, even when each has many positions."""


@dataclass(frozen=True)
class Samples:
    """Unlabelled model inputs, in batches that can be read repeatedly."""

    batches: Callable[[], Iterable[Inputs]]
    """Called whenever inputs are needed, so that a generator never holds all of them in memory."""
    count: int
    """Samples in all batches together."""
    seed: int


def equations_of(target: Target, now: Walk, then: Walk, samples: Samples) -> NormalEquations:
    """Return the normal equations of a layer: inputs of the pruned network, targets of the dense one.

    Args:
        target: the layer.
        now: a walk of the pruned network that has not passed the layer; it is advanced to the layer.
        then: a walk of the dense network; ``now`` itself when nothing is pruned yet.
        samples: unlabelled inputs.
    """
    kernel = grouped_kernel(target.twin)
    groups, num_inputs, num_units = grouped_kernel(target.layer).shape
    has_bias = target.has_bias_row
    equations = NormalEquations.empty(groups, num_inputs + has_bias, num_units, has_bias=has_bias)
    for found, original in rows_of(target, now, then, samples):
        equations.add(_with_bias(found, has_bias), _kept_units(original @ kernel, target.units, groups))
    return equations


def rows_of(target: Target, now: Walk, then: Walk, samples: Samples) -> Iterator[tuple[Array, Array]]:
    """Yield the input rows of a layer in both networks, at the same sampled positions, batch by batch.

    Each has shape (groups, positions, inputs of a unit).
    """
    here, there = now.graph.calls_of(target.layer), then.graph.calls_of(target.twin)
    now.advance(min(here))
    then.advance(min(there))
    rng = np.random.default_rng(samples.seed)
    num_rows = max(MIN_ROWS, ROWS_PER_INPUT * rows.num_inputs(target.layer))
    seen = 0
    for inputs, originally in _paired_inputs(now, here, then, there):
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


def _paired_inputs(now: Walk, here: Sequence[int], then: Walk, there: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """Yield the layer's inputs in both networks, batch by batch; computed once when both walks are the same."""
    if now is then:
        return ((inputs, inputs) for inputs in now.inputs(here))
    return zip(now.inputs(here), then.inputs(there), strict=True)


def _kept_units(made: Array, units: Array | None, num_groups: int) -> Array:
    """Select the dense layer's outputs, (groups, positions, units), of the units that the pruned layer still has."""
    return made if units is None else rows.split_groups(rows.join_groups(made)[:, units], num_groups)


def grouped_kernel(layer: Any) -> Array:
    """Return a layer's kernel, shape (groups, inputs of a unit, units of a group)."""
    kernel = keras.ops.convert_to_numpy(rows.weights_of(layer))
    return rows.grouped(layer, np.asarray(kernel))


def _with_bias(inputs: Array, has_bias: bool) -> Array:
    """Append a one to each row for the bias."""
    return np.pad(inputs, ((0, 0), (0, 0), (0, 1)), constant_values=1.0) if has_bias else inputs
