"""Structures: which weights are pruned together. Single weights, whole units, blocks, or all but n of each m.

Kernels are matrices, shape (inputs, units). A ``Grouping`` turns scores of weights into scores of groups and masks of
groups back into masks of weights, so that ranking does not depend on the structure. N:M ranks within small
groups instead, so it has its own function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.arrays import Array, Mask
from engine.pruning.mask import keep_largest
from secateur.specs.pruning import Prune

Keep = Callable[[Array, float, Mask], Mask]
"""From scores (inputs, units), a sparsity, and an earlier mask to a mask inside the earlier mask."""


@dataclass(frozen=True)
class Grouping:
    """Groups of ``inputs`` x ``units`` weights that are pruned together; 0 means all inputs or all units."""

    inputs: int = 1
    units: int = 1

    def size(self, shape: tuple[int, int]) -> int:
        """Return the number of weights of one group, in a matrix of a shape."""
        return (self.inputs or shape[0]) * (self.units or shape[1])

    def pool(self, scores: Array) -> Array:
        """Sum scores over each group.

        >>> Grouping(inputs=2).pool(np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([[4., 6.]])
        """
        inputs, units = self.inputs or scores.shape[0], self.units or scores.shape[1]
        split = scores.reshape(scores.shape[0] // inputs, inputs, scores.shape[1] // units, units)
        return np.asarray(split.sum(axis=(1, 3)))

    def spread(self, mask: Mask, shape: tuple[int, int]) -> Mask:
        """Convert a mask of groups to a mask of weights.

        >>> Grouping(inputs=2).spread(np.array([[True, False]]), (2, 2))
        array([[ True, False],
               [ True, False]])
        """
        return np.repeat(np.repeat(mask, self.inputs or shape[0], axis=0), self.units or shape[1], axis=1)

    def keep(self, scores: Array, sparsity: float, within: Mask, /) -> Mask:
        """Keep the groups with the highest scores; ``scores`` may be of weights or of groups.

        >>> Grouping(inputs=0).keep(np.array([[1.0, 2.0], [5.0, 1.0]]), 0.5, np.ones((2, 2), bool))
        array([[ True, False],
               [ True, False]])
        """
        pooled = self.pool(scores) if scores.shape == within.shape else scores
        kept = keep_largest(pooled, sparsity, within=self.pool(within) > 0)
        return self.spread(kept, (within.shape[0], within.shape[1])) & within


WEIGHTS: Final = Grouping()
UNITS: Final = Grouping(inputs=0)


def n_of_m(n: int, m: int) -> Keep:
    """Keep at least ``n`` of every ``m`` weights in a row along the inputs, and exactly ``n`` at sparsity 1 - n/m.

    At lower sparsities the weakest candidates of all groups are pruned first, so the first update does not fix the
    pattern.

    >>> scores, within = np.array([[4.0], [3.0], [2.0], [1.0]]), np.ones((4, 1), bool)
    >>> [n_of_m(2, 4)(scores, sparsity, within).ravel().tolist() for sparsity in (0.25, 0.5)]
    [[True, True, True, False], [True, True, False, False]]

    Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch" (arXiv:2102.04010).
    """

    def keep(scores: Array, sparsity: float, within: Mask, /) -> Mask:
        ranked = np.where(within, scores, -np.inf).reshape(-1, m, scores.shape[1])
        places = np.argsort(np.argsort(-ranked, axis=1, kind="stable"), axis=1)
        candidates = (places >= n).reshape(scores.shape)
        num_pruned = round(min(1.0, sparsity / (1 - n / m)) * np.count_nonzero(candidates))
        order = np.argsort(np.where(candidates, np.where(within, scores, -np.inf), np.inf), axis=None, kind="stable")
        mask = within.copy()
        mask.flat[order[:num_pruned]] = False
        return mask

    return keep


def grouping_of(step: Prune) -> Grouping:
    """Return the groups of weights that a prune step removes together. N:M prunes single weights."""
    if step.structure == "unit":
        return UNITS
    if step.structure == "block":
        units, inputs = step.block_shape
        return Grouping(inputs=inputs, units=units)
    return WEIGHTS


def mask_function(step: Prune) -> Keep:
    """Return the function that selects the kept weights in a prune step."""
    return n_of_m(*step.n_m) if step.structure == "n_m" else grouping_of(step).keep
