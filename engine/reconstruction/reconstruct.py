"""Cut a network and repair it without labels or training: layer by layer, each solved again towards the dense one.

For each layer in the order of the graph: its inputs come from the network as cut so far, its targets from the dense
network on the dense inputs, before the activation; convolutions are the same on sampled positions. Layers behind the
first cut that are not cut themselves (output layers, depthwise convolutions) are solved again on all their weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk
from engine.pruning.masking import Masks
from engine.pruning.structure import WEIGHTS, Keep
from engine.reconstruction import rows
from engine.reconstruction.equations import Samples, equations_of, grouped_kernel
from engine.reconstruction.fold import add_to_units
from engine.reconstruction.joint import cut_and_solve, cut_whole_units
from engine.reconstruction.solve import NormalEquations
from engine.reconstruction.targets import Narrowed, Target, targets_of

Score = Callable[[str, Array], Array]
"""From a kernel's name and its weights, shape (inputs, units), to scores of that shape."""


WHOLE = Narrowed()
"""No layer has lost inputs or units."""


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
    narrowed: Narrowed = WHOLE,
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[str]:
    """Cut kernels of ``model`` to their sparsity and solve them, and what comes behind them, towards ``dense``.

    Args:
        dense: a copy of the model from before the cut.
        sparsity: for each kernel that is to be cut, by its name in ``masks``.
        keep: the structure: which weights stay.
        score: the criterion, asked again whenever the weights have changed. Default: their magnitude.
        zero_bias: whole units go, with their biases.
        narrowed: what layers of ``model`` have lost already, inputs and units. Those that have lost inputs are solved.
        on_progress: told the share of the layers that are done.

    Returns:
        The names of the layers that were solved. Others in ``sparsity`` were only cut, by the same scores.
    """
    cut = Cut(keep, score or magnitude, zero_bias)
    targets = targets_of(model, dense, sparsity, narrowed)
    solved = [target.name for target in targets]
    if targets:
        now, then = (Walk(each, samples.batches, samples.count) for each in (model, dense))
        for done, target in enumerate(targets, start=1):
            equations = equations_of(target, now, then, samples)
            _solve(target, equations, masks, sparsity.get(target.name, 0.0), cut)
            on_progress(done / len(targets))
    for name in sparsity.keys() - set(solved):
        _only_cut(name, masks, sparsity[name], cut)
    return solved


def _solve(target: Target, equations: NormalEquations, masks: Masks, sparsity: float, cut: Cut) -> None:
    """Give a layer its new weights, and its bias or the normalisation behind it what is added to each unit."""
    kernel = grouped_kernel(target.layer)  # not solved yet, so what is left of the dense one
    num_inputs = kernel.shape[1]
    dense = np.pad(kernel.astype(np.float64), ((0, 0), (0, int(target.has_bias_row)), (0, 0)))
    within = np.ones_like(dense, dtype=np.bool_)
    pruned = target.name in masks.names
    within[:, :num_inputs] = rows.grouped(target.layer, masks.mask(target.name)) if pruned else kernel != 0
    if sparsity > 0:
        choose = partial(_choose, target.name, num_inputs, within, sparsity, cut)
        solve = cut_whole_units if cut.whole_units else cut_and_solve
        found = solve(equations, dense, within, choose)
    else:
        found = cut_and_solve(equations, dense, within, None)
    weights = rows.ungrouped(target.layer, found[:, :num_inputs].astype(np.float32))
    if pruned:
        masks.set(target.name, weights)
    else:
        rows.weights_of(target.layer).assign(weights)
    if target.has_bias_row:
        add_to_units(target, found[:, num_inputs].ravel().astype(np.float32))
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


def _only_cut(name: str, masks: Masks, sparsity: float, cut: Cut) -> None:
    """Cut a layer that cannot be solved: fewer zeros than were asked for would be the worse answer."""
    layout, weights = masks.layout(name), masks.weights(name)
    matrix = layout.matrix(weights)
    kept = cut.keep(cut.score(name, matrix), sparsity, layout.matrix(masks.mask(name)))
    masks.set(name, weights * layout.kernel(kept))
    if cut.whole_units:
        masks.silence(name)
