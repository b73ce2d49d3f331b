"""What the least squares of ``reconstruct`` would say with only the bias free: the mean of what went moves into it.

Where a channel goes, the layers that read it miss its mean activation times their weights, at every position. He et
al. 2017 (arXiv:1707.06168) solve the weights too; this is what is left to do where that is switched off.
"""

from collections.abc import Mapping

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk
from engine.reconstruction.equations import Samples, grouped_kernel, rows_of
from engine.reconstruction.targets import Target

Shift = Array
"""What is added to each unit of a layer, shape (units,)."""


def shifts(dense: Walk, targets: Mapping[str, tuple[Target, Mask]], samples: Samples) -> dict[str, Shift]:
    """What layers of the dense network get on average from inputs that will go.

    Args:
        dense: stands at the inputs of the network before the cut.
        targets: by name, layers in the order of the graph that have a place for a bias, and which of their inputs
            stay, shape (groups, inputs of a unit).
    """
    found = {}
    for name, (target, stays) in targets.items():
        assert target.has_bias_row, "there is nowhere to put the mean"
        total, count = np.zeros(stays.shape), 0
        for inputs, _ in rows_of(target, dense, dense, samples):
            total, count = total + inputs.sum(axis=1, dtype=np.float64), count + inputs.shape[1]
        found[name] = np.einsum("gn,gnu->gu", total / count * ~stays, grouped_kernel(target.layer)).ravel()
    return found


def add_to_units(target: Target, found: Array) -> None:
    """Add to each unit: to the bias, or to the normalisation behind. ``(x + b) - mean`` is ``x - (mean - b)``."""
    if target.norm is not None:
        target.norm.moving_mean.assign(target.norm.moving_mean - found)
    else:
        target.layer.bias.assign(target.layer.bias + found.reshape(target.layer.bias.shape))
