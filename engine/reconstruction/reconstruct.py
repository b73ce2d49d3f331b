"""Prune a network and reconstruct its weights layer by layer, without labels or training.

For each layer in the order of the graph, the inputs come from the network as pruned so far, and the targets from the
dense network on its own inputs, before the activation. Convolutions use sampled positions. Layers behind the first
pruned layer that are not pruned themselves (output layers, depthwise convolutions) are reconstructed on all weights.
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
from engine.reconstruction.bias_correction import add_to_units
from engine.reconstruction.equations import Samples, equations_of, grouped_kernel
from engine.reconstruction.joint import select_and_solve, select_whole_units
from engine.reconstruction.solve import NormalEquations
from engine.reconstruction.targets import RemovedChannels, Target, targets_of

Score = Callable[[str, Array], Array]
"""From a kernel's name and its weights, shape (inputs, units), to scores of that shape."""


NOTHING_REMOVED = RemovedChannels()
"""No layer has lost inputs or units."""


@dataclass(frozen=True)
class Selection:
    """How the kept weights are selected; see ``reconstruct``."""

    keep: Keep
    score: Score
    whole_units: bool


def magnitude(name: str, weights: Array) -> Array:
    """Score weights by their absolute values."""
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
    removed: RemovedChannels = NOTHING_REMOVED,
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[str]:
    """Prune kernels of ``model`` to their sparsity and reconstruct them, and the layers behind them, towards ``dense``.

    Args:
        model: the model to prune; its weights change.
        dense: a copy of the model before pruning.
        masks: of ``model``; they change.
        sparsity: for each kernel to prune, by its name in ``masks``.
        samples: unlabelled inputs.
        keep: the structure: selects the kept weights.
        score: the criterion, called whenever the weights have changed. Default: magnitude.
        zero_bias: remove whole units with their biases.
        removed: inputs and units that layers of ``model`` have already lost. Layers that lost inputs are reconstructed.
        on_progress: called with the share of the layers that are done.

    Returns:
        The names of the reconstructed layers. Others in ``sparsity`` are only pruned, by the same scores.
    """
    selection = Selection(keep, score or magnitude, zero_bias)
    targets = targets_of(model, dense, sparsity, removed)
    solved = [target.name for target in targets]
    if targets:
        now, then = (Walk(each, samples.batches, samples.count) for each in (model, dense))
        for done, target in enumerate(targets, start=1):
            equations = equations_of(target, now, then, samples)
            _solve(target, equations, masks, sparsity.get(target.name, 0.0), selection)
            on_progress(done / len(targets))
    for name in sparsity.keys() - set(solved):
        _prune_only(name, masks, sparsity[name], selection)
    return solved


def _solve(target: Target, equations: NormalEquations, masks: Masks, sparsity: float, selection: Selection) -> None:
    """Set the new weights of a layer, and add the new bias to its bias or to the normalisation behind it."""
    kernel = grouped_kernel(target.layer)  # not solved yet: the remaining weights of the dense layer
    num_inputs = kernel.shape[1]
    dense = np.pad(kernel.astype(np.float64), ((0, 0), (0, int(target.has_bias_row)), (0, 0)))
    within = np.ones_like(dense, dtype=np.bool_)
    pruned = target.name in masks.names
    within[:, :num_inputs] = rows.grouped(target.layer, masks.mask(target.name)) if pruned else kernel != 0
    if sparsity > 0:
        choose = partial(_choose, target.name, num_inputs, within, sparsity, selection)
        solve = select_whole_units if selection.whole_units else select_and_solve
        found = solve(equations, dense, within, choose)
    else:
        found = select_and_solve(equations, dense, within, None)
    weights = rows.ungrouped(target.layer, found[:, :num_inputs].astype(np.float32))
    if pruned:
        masks.set(target.name, weights)
    else:
        rows.weights_of(target.layer).assign(weights)
    if target.has_bias_row:
        add_to_units(target, found[:, num_inputs].ravel().astype(np.float32))
    if selection.whole_units and sparsity > 0:
        masks.zero_biases(target.name)


def _choose(name: str, num_inputs: int, within: Mask, sparsity: float, selection: Selection, weights: Array) -> Mask:
    """Return the mask of kept weights, over all groups; a bias row is kept with its unit."""
    matrix, allowed = (rows.join_groups(each[:, :num_inputs]) for each in (weights, within))
    kept = selection.keep(selection.score(name, matrix), sparsity, allowed)
    mask = np.ones_like(within)
    mask[:, :num_inputs] = rows.split_groups(kept, len(weights))
    if selection.whole_units:
        mask &= mask[:, :num_inputs].any(axis=1, keepdims=True)
    return mask


def _prune_only(name: str, masks: Masks, sparsity: float, selection: Selection) -> None:
    """Prune a layer that cannot be reconstructed, so that the requested sparsity is reached."""
    layout, weights = masks.layout(name), masks.weights(name)
    matrix = layout.matrix(weights)
    kept = selection.keep(selection.score(name, matrix), sparsity, layout.matrix(masks.mask(name)))
    masks.set(name, weights * layout.kernel(kept))
    if selection.whole_units:
        masks.zero_biases(name)
