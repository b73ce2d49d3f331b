"""Bias correction: the mean contribution of removed inputs is added to the bias.

This is the least squares solution of ``reconstruct`` with only the bias free. Where a channel is removed, its consumers
lose its mean activation times their weights, at every position. He et al. 2017 (arXiv:1707.06168) reconstruct the
weights too; this module is for jobs that switch reconstruction off.
"""

from collections.abc import Mapping

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk
from engine.reconstruction.equations import Samples, grouped_kernel, rows_of
from engine.reconstruction.targets import Target

Correction = Array
"""The value added to each unit of a layer, shape (units,)."""


def corrections(dense: Walk, targets: Mapping[str, tuple[Target, Mask]], samples: Samples) -> dict[str, Correction]:
    """Compute the mean contribution of the inputs to be removed, for layers of the dense network.

    Args:
        dense: a walk at the inputs of the network before pruning.
        targets: by name, layers with a place for a bias in the order of the graph, and a mask of the kept inputs,
            shape (groups, inputs of a unit).
        samples: unlabelled inputs.
    """
    found = {}
    for name, (target, stays) in targets.items():
        assert target.has_bias_row, "the layer has a place for a bias"
        total, count = np.zeros(stays.shape), 0
        for inputs, _ in rows_of(target, dense, dense, samples):
            total, count = total + inputs.sum(axis=1, dtype=np.float64), count + inputs.shape[1]
        found[name] = np.einsum("gn,gnu->gu", total / count * ~stays, grouped_kernel(target.layer)).ravel()
    return found


def add_to_units(target: Target, found: Array) -> None:
    """Add a correction to each unit: to its bias, or to the normalisation behind.

    ``(x + b) - mean`` is ``x - (mean - b)``.
    """
    if target.norm is not None:
        target.norm.moving_mean.assign(target.norm.moving_mean - found)
    else:
        target.layer.bias.assign(target.layer.bias + found.reshape(target.layer.bias.shape))
