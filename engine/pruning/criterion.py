"""Criteria: scores of weights or units. A new criterion is one function and one line in a dict.

Kernels are matrices, shape (inputs, units): ``engine.models.layout``. A criterion of weights scores that shape, a
criterion of units shape (units,); higher means keep. The inputs of a criterion are a
``CriterionInputs``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np

from engine.arrays import Array
from secateur.specs.pruning import Criterion

Need = Literal["gradients", "input_norms", "gamma"]


@dataclass(frozen=True)
class CriterionInputs:
    """A kernel and the observations for it; those that ``NEEDS`` does not name for the criterion are None."""

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
    """Return the share of weights to prune: those whose magnitude is under an absolute value.

    >>> threshold(np.array([[0.1, -0.2], [0.3, 0.0]]), 0.25)
    0.75

    Han et al. 2015 (arXiv:1506.02626), section 3.
    """
    return float(np.mean(np.abs(weights) < value))


def std_threshold(weights: Array, quality: float, /) -> float:
    """Return the share of weights under ``quality`` standard deviations of the layer's nonzero weights.

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
    """Score each unit by the squared sum of the first-order changes of the loss by its weights.

    >>> taylor_of_units(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[0.5, -3.0], [-1.0, 1.0]]))
    array([0., 4.])

    Molchanov et al. 2019 (arXiv:1906.10771), equation 8.
    """
    return cast(Array, np.square((weights * gradients).sum(axis=0)))


def snip(weights: Array, gradients: Array, /) -> Array:
    """Score each weight by the sensitivity of the loss to its removal.

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
    """Score at random: the baseline for every other criterion. Equal seeds give equal scores.

    >>> bool((random(np.ones((2, 3)), 7) == random(np.zeros((2, 3)), 7)).all())
    True

    Blalock et al. 2020, "What is the State of Neural Network Pruning?" (arXiv:2003.03033), recommend it.
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
    """Score each unit by the sum of its distances to the others: the most central unit is the easiest to replace.

    >>> fpgm(np.array([[0.0, 1.0, 5.0]]))
    array([6., 5., 9.])

    He et al. 2019, "Filter Pruning via Geometric Median" (arXiv:1811.00250).
    """
    squares = np.square(weights).sum(axis=0)
    distances = squares[:, None] + squares[None, :] - 2.0 * (weights.T @ weights)
    np.fill_diagonal(distances, 0.0)  # rounding leaves a small value there, whose root is not small
    return cast(Array, np.sqrt(np.maximum(distances, 0.0)).sum(axis=1))


def _found(observed: Array | None) -> Array:
    assert observed is not None, "NEEDS names this observation for the criterion"
    return observed


NEEDS: Final[Mapping[Criterion, Need]] = {
    "taylor": "gradients",
    "snip": "gradients",
    "wanda": "input_norms",
    "bn_scale": "gamma",
}

OF_WEIGHTS: Final[Mapping[Criterion, Callable[[CriterionInputs], Array]]] = {
    "magnitude": lambda inputs: magnitude(inputs.weights),
    "threshold": lambda inputs: magnitude(inputs.weights),
    "std_threshold": lambda inputs: magnitude(inputs.weights),
    "taylor": lambda inputs: taylor(inputs.weights, _found(inputs.gradients)),
    "snip": lambda inputs: snip(inputs.weights, _found(inputs.gradients)),
    "wanda": lambda inputs: wanda(inputs.weights, _found(inputs.input_norms)),
    "random": lambda inputs: random(inputs.weights, inputs.seed),
}

OF_UNITS: Final[Mapping[Criterion, Callable[[CriterionInputs], Array]]] = {
    "taylor": lambda inputs: taylor_of_units(inputs.weights, _found(inputs.gradients)),
    "random": lambda inputs: random(inputs.weights[0], inputs.seed),
    "l1_norm": lambda inputs: l1_norm(inputs.weights),
    "l2_norm": lambda inputs: l2_norm(inputs.weights),
    "bn_scale": lambda inputs: bn_scale(_found(inputs.gamma)),
    "fpgm": lambda inputs: fpgm(inputs.weights),
}
"""Scores of whole units. A criterion that is not here scores a unit by the sum over its weights."""

SHARES: Final[Mapping[Criterion, Callable[[Array, float], float]]] = {
    "threshold": threshold,
    "std_threshold": std_threshold,
}
"""Criteria that choose the share of each layer's weights to prune."""
