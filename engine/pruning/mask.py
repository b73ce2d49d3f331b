"""Masks of a layer's weights: True keeps a weight, False sets it to zero."""

import numpy as np

from engine.arrays import Array, Mask


def num_zeros(size: int, sparsity: float) -> int:
    """Return how many of ``size`` weights a sparsity prunes: the nearest whole number, but never all of them.

    >>> num_zeros(10, 0.85), num_zeros(1000, 0.9), num_zeros(16, 0.97)
    (8, 900, 15)
    """
    return min(round(size * sparsity), size - 1)


def keep_largest(scores: Array, sparsity: float, /, *, within: Mask | None = None) -> Mask:
    """Keep the weights with the highest scores.

    Args:
        scores: one score per weight, any shape.
        sparsity: share of the weights to prune, 0 to 1.
        within: an earlier mask. Its zeros stay zero, even when they are more than ``sparsity`` requires.

    Returns:
        Mask of the shape of ``scores`` with exactly ``num_zeros(scores.size, sparsity)`` zeros, or those of
        ``within`` when they are more. Among equal scores the later weight is pruned first.

    >>> keep_largest(np.array([0.3, 0.1, 0.2, 0.4]), 0.5)
    array([ True, False, False,  True])
    """
    ranked = np.asarray(scores, dtype=np.float64).ravel()
    num_kept = ranked.size - num_zeros(ranked.size, sparsity)
    mask = np.zeros(ranked.size, dtype=np.bool_)
    if within is None:
        mask[_largest(ranked, num_kept)] = True
    else:  # only the remaining weights are ranked: many equal scores make a partition 20 times slower
        left = np.flatnonzero(within)
        mask[left if left.size <= num_kept else left[_largest(ranked[left], num_kept)]] = True
    return mask.reshape(scores.shape)


def _largest(scores: Array, count: int) -> Array:
    """Return the indices of the ``count`` largest scores; by partition, since it runs up to 40 times in a training."""
    threshold = np.partition(scores, scores.size - count)[scores.size - count]
    above = np.flatnonzero(scores > threshold)
    ties = np.flatnonzero(scores == threshold)
    return np.concatenate([above, ties[: count - above.size]])
