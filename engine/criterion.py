"""Criteria: how much each weight matters. A new one is one function and one line in ``CRITERIA``."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from engine.arrays import Array
from jobspec.pruning import Criterion


def magnitude(kernel: Array, /) -> Array:
    """Score each weight by its absolute value.

    Args:
        kernel: weights of one layer, any shape.

    Returns:
        Scores, the shape of ``kernel``; higher means keep.

    >>> magnitude(np.array([[3.0, -4.0], [0.5, 0.0]]))
    array([[3. , 4. ],
           [0.5, 0. ]])

    Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks" (arXiv:1506.02626).
    """
    return np.abs(kernel)


CRITERIA: Final[Mapping[Criterion, Callable[[Array], Array]]] = {"magnitude": magnitude}
