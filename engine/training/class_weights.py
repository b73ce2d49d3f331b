"""Sample weights in the loss, by class."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from engine.arrays import Array


def sample_weights(classes: Array, wanted: Literal["balanced"] | Mapping[int, float]) -> Array:
    """A weight for each sample.

    Args:
        classes: of the samples, shape (n,).
        wanted: a weight by class, 1 for classes that are not listed; or balanced: n / (k n_c), so that each of the k
            classes has the same total weight and all n samples together have the weight n (King & Zeng 2001).

    >>> sample_weights(np.array([0, 0, 0, 2]), "balanced").round(3)
    array([0.667, 0.667, 0.667, 2.   ], dtype=float32)
    >>> sample_weights(np.array([0, 1]), {1: 5.0})
    array([1., 5.], dtype=float32)
    """
    present, own, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if isinstance(wanted, Mapping):
        by_class = np.array([wanted.get(int(number), 1.0) for number in present])
    else:
        by_class = len(classes) / (len(present) * counts)
    return np.asarray(by_class[own], dtype=np.float32)


def append_weights(rows: Array, weights: Array) -> Array:
    """Rows with the weights appended as the last column, so that one shuffle moves both.

    >>> append_weights(np.array([3, 4]), np.array([0.5, 2.0]))
    array([[3. , 0.5],
           [4. , 2. ]], dtype=float32)
    """
    return np.concatenate([rows.reshape(len(rows), -1), weights[:, None]], axis=1).astype(np.float32)


def split_weights(batches: Any, *, flat: bool) -> Any:
    """Split batches from ``append_weights`` into inputs, rows and weights.

    Args:
        flat: whether rows are single numbers, shape (n,).
    """
    return batches.map(lambda inputs, rows: (inputs, rows[:, 0] if flat else rows[:, :-1], rows[:, -1]))
