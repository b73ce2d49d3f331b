"""Criteria: how much each weight, or each unit, matters. A new one is one function and one line in a dict.

Kernels are matrices, shape (inputs, units): ``engine.models.layout``. A criterion of weights scores that shape, a
criterion of units shape (units,); higher means keep. What a criterion looks at beside the weights is in ``Seen``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np

from engine.arrays import Array
from secateur.specs.pruning import Criterion

Need = Literal["gradients", "input_norms", "gamma"]


@dataclass(frozen=True)
class Seen:
    """One kernel, and what was observed around it; a criterion finds there what ``NEEDS`` says, else None."""

    weights: Array
    gradients: Array | None = None
    """Of the loss on one batch, the shape of ``weights``."""
    input_norms: Array | None = None
    """For each weight the norm of its input over calibration data, shape (inputs, units) or (inputs, 1)."""
    gamma: Array | None = None
    """Scales of the BatchNorm behind the layer, shape (units,)."""
    seed: int = 0


def magnitude(weights: Array, /) -> Array:
    """Score each weight by its absolute value.

    >>> magnitude(np.array([[3.0, -4.0], [0.5, 0.0]]))
    array([[3. , 4. ],
           [0.5, 0. ]])

    Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks" (arXiv:1506.02626).
    """
    return np.abs(weights)


def threshold(weights: Array, value: float, /) -> float:
    """The share of weights whose magnitude lies under an absolute value: what goes.

    >>> threshold(np.array([[0.1, -0.2], [0.3, 0.0]]), 0.25)
    0.75

    Han et al. 2015 (arXiv:1506.02626), section 3.
    """
    return float(np.mean(np.abs(weights) < value))


def std_threshold(weights: Array, quality: float, /) -> float:
    """The share of weights under ``quality`` standard deviations of the layer. Weights cut before do not count in it.

    >>> std_threshold(np.array([[-1.0, 1.0], [-3.0, 3.0]]), 1.0)
    0.5

    Han et al. 2015 (arXiv:1506.02626), section 3.2: quality x standard deviation of the layer's weights.
    """
    alive = weights[weights != 0]
    return threshold(weights, quality * float(alive.std())) if alive.size else 1.0


def taylor(weights: Array, gradients: Array, /) -> Array:
    """Score each weight by the squared first-order change of the loss when it is set to zero.

    >>> taylor(np.array([[2.0, 1.0]]), np.array([[0.5, -3.0]]))
    array([[1., 9.]])

    Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning" (arXiv:1906.10771), equation 4.
    """
    return cast(Array, np.square(weights * gradients))


def taylor_of_units(weights: Array, gradients: Array, /) -> Array:
    """The same for whole units: the changes of a unit's weights add up before they are squared.

    >>> taylor_of_units(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[0.5, -3.0], [-1.0, 1.0]]))
    array([0., 4.])

    Molchanov et al. 2019 (arXiv:1906.10771), equation 8.
    """
    return cast(Array, np.square((weights * gradients).sum(axis=0)))


def snip(weights: Array, gradients: Array, /) -> Array:
    """Score each weight by how strongly the loss depends on its being there.

    >>> snip(np.array([[2.0, -1.0]]), np.array([[0.5, 3.0]]))
    array([[1., 3.]])

    Lee et al. 2019, "SNIP: Single-shot Network Pruning" (arXiv:1810.02340), equation 4 before its normalisation.
    """
    return cast(Array, np.abs(weights * gradients))


def wanda(weights: Array, input_norms: Array, /) -> Array:
    """Score each weight by its magnitude times the norm of its input. Needs data, but no labels.

    >>> wanda(np.array([[1.0, -2.0], [3.0, 1.0]]), np.array([[10.0], [1.0]]))
    array([[10., 20.],
           [ 3.,  1.]])

    Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models" (arXiv:2306.11695).
    """
    return np.abs(weights) * input_norms


def random(weights: Array, seed: int, /) -> Array:
    """Score by chance: the baseline that any criterion has to beat. Equal seeds give equal scores.

    >>> bool((random(np.ones((2, 3)), 7) == random(np.zeros((2, 3)), 7)).all())
    True

    Blalock et al. 2020, "What is the State of Neural Network Pruning?" (arXiv:2003.03033), ask for it.
    """
    return np.random.default_rng(seed).random(weights.shape)


def l1_norm(weights: Array, /) -> Array:
    """Score each unit by the sum of its weights' magnitudes.

    >>> l1_norm(np.array([[3.0, 0.0], [-4.0, 1.0]]))
    array([7., 1.])

    Li et al. 2017, "Pruning Filters for Efficient ConvNets" (arXiv:1608.08710).
    """
    return cast(Array, np.abs(weights).sum(axis=0))


def l2_norm(weights: Array, /) -> Array:
    """Score each unit by the Euclidean norm of its weights.

    >>> l2_norm(np.array([[3.0, 0.0], [-4.0, 1.0]]))
    array([5., 1.])

    He et al. 2018, "Soft Filter Pruning" (arXiv:1808.06866), compare both norms.
    """
    return cast(Array, np.linalg.norm(weights, axis=0))


def bn_scale(gamma: Array, /) -> Array:
    """Score each unit by the magnitude of the scale that the BatchNorm behind it gives it.

    >>> bn_scale(np.array([0.5, -2.0]))
    array([0.5, 2. ])

    Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming" (arXiv:1708.06519).
    """
    return np.abs(gamma)


def fpgm(weights: Array, /) -> Array:
    """Score each unit by the sum of its distances to the others: the one nearest to all is the easiest to replace.

    >>> fpgm(np.array([[0.0, 1.0, 5.0]]))
    array([6., 5., 9.])

    He et al. 2019, "Filter Pruning via Geometric Median" (arXiv:1811.00250).
    """
    squares = np.square(weights).sum(axis=0)
    distances = squares[:, None] + squares[None, :] - 2.0 * (weights.T @ weights)
    np.fill_diagonal(distances, 0.0)  # rounding would leave a little there, and its root is not little
    return cast(Array, np.sqrt(np.maximum(distances, 0.0)).sum(axis=1))


def _found(observed: Array | None) -> Array:
    assert observed is not None, "NEEDS says that this is looked up before the criterion is asked"
    return observed


NEEDS: Final[Mapping[Criterion, Need]] = {
    "taylor": "gradients",
    "snip": "gradients",
    "wanda": "input_norms",
    "bn_scale": "gamma",
}

OF_WEIGHTS: Final[Mapping[Criterion, Callable[[Seen], Array]]] = {
    "magnitude": lambda seen: magnitude(seen.weights),
    "threshold": lambda seen: magnitude(seen.weights),
    "std_threshold": lambda seen: magnitude(seen.weights),
    "taylor": lambda seen: taylor(seen.weights, _found(seen.gradients)),
    "snip": lambda seen: snip(seen.weights, _found(seen.gradients)),
    "wanda": lambda seen: wanda(seen.weights, _found(seen.input_norms)),
    "random": lambda seen: random(seen.weights, seen.seed),
}

OF_UNITS: Final[Mapping[Criterion, Callable[[Seen], Array]]] = {
    "taylor": lambda seen: taylor_of_units(seen.weights, _found(seen.gradients)),
    "random": lambda seen: random(seen.weights[0], seen.seed),
    "l1_norm": lambda seen: l1_norm(seen.weights),
    "l2_norm": lambda seen: l2_norm(seen.weights),
    "bn_scale": lambda seen: bn_scale(_found(seen.gamma)),
    "fpgm": lambda seen: fpgm(seen.weights),
}
"""A criterion that is not here scores a unit by the sum over its weights."""

SHARES: Final[Mapping[Criterion, Callable[[Array, float], float]]] = {
    "threshold": threshold,
    "std_threshold": std_threshold,
}
"""Criteria that decide themselves how much of a layer goes."""
