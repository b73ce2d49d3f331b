"""Cut a network and repair it without labels or training: layer by layer, each solved again towards the dense one.

For each layer in the order of the graph: its inputs come from the network as cut so far, its targets from the dense
network on the dense inputs, before the activation; convolutions are the same on sampled positions. Layers behind the
first cut that are not cut themselves (output layers, depthwise convolutions) are solved again on all their weights.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.graph import Walk
from engine.pruning.masking import Masks
from engine.pruning.structure import WEIGHTS, Keep
from engine.repair import rows
from engine.repair.joint import cut_and_solve, cut_whole_units
from engine.repair.solve import NormalEquations
from engine.repair.targets import Target, targets_of

MIN_ROWS, ROWS_PER_INPUT = 20_000, 10
"""Positions that a layer is solved on: the larger of the two, where the samples have as many."""

MIN_SAMPLES = 256
"""Samples that these positions are taken from at least, however many positions each has."""

Score = Callable[[str, Array], Array]
"""From a kernel's name and its weights, shape (inputs, units), to scores of that shape."""


@dataclass(frozen=True)
class Samples:
    """Unlabelled model inputs, in batches that can be read again and again."""

    batches: Callable[[], Iterable[Array]]
    """Asked whenever inputs are needed, so that nothing holds all of them when it makes them one by one."""
    count: int
    """Samples in all batches together."""
    seed: int


@dataclass(frozen=True)
class Cut:
    """How weights are chosen; see ``reconstruct``."""

    keep: Keep
    score: Score
    whole_units: bool


def magnitude(name: str, weights: Array) -> Array:
    """The weights' own size, whatever the kernel."""
    return np.abs(weights)


def reconstruct(
    model: Any,
    dense: Any,
    masks: Masks,
    sparsity: Mapping[str, float],
    samples: Samples,
    *,
    keep: Keep = WEIGHTS.keep,
    score: Score | None = None,
    zero_bias: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[str]:
    """Cut kernels of ``model`` to their sparsity and solve them, and what comes behind them, towards ``dense``.

    Args:
        dense: a copy of the model from before the cut.
        sparsity: for each kernel that is to be cut, by its name in ``masks``.
        keep: the structure: which weights stay.
        score: the criterion, asked again whenever the weights have changed. Default: their magnitude.
        zero_bias: whole units go, with their biases.
        on_progress: told the share of the layers that are done.

    Returns:
        The names of the layers that were solved. Others in ``sparsity`` were only cut, by the same scores.
    """
    cut = Cut(keep, score or magnitude, zero_bias)
    targets = targets_of(model, dense, sparsity)
    solved = [target.name for target in targets]
    if targets:
        now, then = (Walk(each, samples.batches, samples.count) for each in (model, dense))
        for done, target in enumerate(targets, start=1):
            equations = _equations(target, now, then, samples)
            _solve(target, equations, masks, sparsity.get(target.name, 0.0), cut)
            on_progress(done / len(targets))
    for name in sparsity.keys() - set(solved):
        _only_cut(name, masks, sparsity[name], cut)
    return solved


def _equations(target: Target, now: Walk, then: Walk, samples: Samples) -> NormalEquations:
    """Normal equations of a layer: its inputs in the cut network against what the dense one makes of its own."""
    here, there = now.graph.calls_of(target.layer), then.graph.calls_of(target.twin)
    now.advance(min(here))
    then.advance(min(there))
    kernel = _grouped_kernel(target.twin)
    groups, num_inputs, num_units = kernel.shape
    has_bias = target.has_bias_row
    equations = NormalEquations.empty(groups, num_inputs + has_bias, num_units, has_bias=has_bias)
    rng = np.random.default_rng(samples.seed)
    num_rows = max(MIN_ROWS, ROWS_PER_INPUT * num_inputs)
    seen = 0
    for inputs, originally in zip(now.inputs(here), then.inputs(there), strict=True):
        positions = [rows.num_positions(target.layer, each.shape) for each in inputs]
        enough = min(samples.count, max(MIN_SAMPLES, math.ceil(num_rows / sum(positions))))
        for each, original, count in zip(inputs, originally, positions, strict=True):
            available, wanted = count * len(each), math.ceil(num_rows * len(each) / enough / len(here))
            picked = np.sort(rng.choice(available, min(available, wanted), replace=False))
            found = _with_bias(rows.rows(target.layer, each, picked), has_bias)
            equations.add(found, rows.rows(target.twin, original, picked) @ kernel)
        seen += len(inputs[0])
        if seen >= enough:
            break
    return equations


def _solve(target: Target, equations: NormalEquations, masks: Masks, sparsity: float, cut: Cut) -> None:
    """Give a layer its new weights, and its bias or the normalisation behind it what is added to each unit."""
    kernel = _grouped_kernel(target.twin)
    num_inputs = kernel.shape[1]
    dense = np.pad(kernel.astype(np.float64), ((0, 0), (0, int(target.has_bias_row)), (0, 0)))
    within = np.ones_like(dense, dtype=np.bool_)
    if target.name in masks.names:
        within[:, :num_inputs] = rows.grouped(target.layer, masks.mask(target.name))
    if sparsity > 0:
        choose = partial(_choose, target.name, num_inputs, within, sparsity, cut)
        solve = cut_whole_units if cut.whole_units else cut_and_solve
        found = solve(equations, dense, within, choose)
    else:
        found = cut_and_solve(equations, dense, within, None)
    weights = rows.ungrouped(target.layer, found[:, :num_inputs].astype(np.float32))
    if target.name in masks.names:
        masks.set(target.name, weights)
    else:
        rows.weights_of(target.layer).assign(weights)
    if target.has_bias_row:
        _add_to_units(target, found[:, num_inputs].ravel().astype(np.float32))
    if cut.whole_units and sparsity > 0:
        masks.silence(target.name)


def _choose(name: str, num_inputs: int, within: Mask, sparsity: float, cut: Cut, weights: Array) -> Mask:
    """Which weights stay, all groups together; a bias row stays with its unit."""
    matrix, allowed = (rows.side_by_side(each[:, :num_inputs]) for each in (weights, within))
    kept = cut.keep(cut.score(name, matrix), sparsity, allowed)
    mask = np.ones_like(within)
    mask[:, :num_inputs] = rows.apart(kept, len(weights))
    if cut.whole_units:
        mask &= mask[:, :num_inputs].any(axis=1, keepdims=True)
    return mask


def _add_to_units(target: Target, found: Array) -> None:
    """Put what the bias row came to where it belongs. ``(x + b) - mean`` is ``x - (mean - b)``."""
    if target.norm is not None:
        target.norm.moving_mean.assign(target.norm.moving_mean - found)
    else:
        target.layer.bias.assign(target.twin.bias + found.reshape(target.twin.bias.shape))


def _only_cut(name: str, masks: Masks, sparsity: float, cut: Cut) -> None:
    """Cut a layer that cannot be solved: fewer zeros than were asked for would be the worse answer."""
    layout, weights = masks.layout(name), masks.weights(name)
    matrix = layout.matrix(weights)
    kept = cut.keep(cut.score(name, matrix), sparsity, layout.matrix(masks.mask(name)))
    masks.set(name, weights * layout.kernel(kept))
    if cut.whole_units:
        masks.silence(name)


def _grouped_kernel(layer: Any) -> Array:
    kernel = keras.ops.convert_to_numpy(rows.weights_of(layer))
    return rows.grouped(layer, np.asarray(kernel))


def _with_bias(inputs: Array, has_bias: bool) -> Array:
    """Rows with a one at the end for the bias."""
    return np.pad(inputs, ((0, 0), (0, 0), (0, 1)), constant_values=1.0) if has_bias else inputs
