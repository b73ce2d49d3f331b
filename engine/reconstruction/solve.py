"""Least squares on the kept weights, towards the outputs of the dense layer.

Pure functions over normal equations. For inputs ``a`` (rows: positions, columns: inputs of a unit) and targets ``t``
(the dense layer's outputs before its activation), each unit's weights w minimise, on their support,

    |a w - t|^2 + ridge |w - w_dense|^2

All arrays have a leading axis of independent groups: the groups of a convolution, the channels of a depthwise
convolution, and one group for all other layers. He et al. 2017, "Channel Pruning" (arXiv:1707.06168).
"""

from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Mask

RIDGE = 3e-3
"""Weight of the ridge towards the dense weights, relative to the mean squared input."""

PRECISION = 1e-4
"""Stop criterion of conjugate gradients: residual relative to the right-hand side, for each unit."""

MAX_ITERATIONS = 500


@dataclass
class NormalEquations:
    """The sums over samples that a least squares problem needs.

    ``gram`` is a'a, shape (groups, n, n), and ``cross`` is a't, shape (groups, n, units). With ``has_bias``, the last
    of the n is an input that is always one; it has no ridge, so that the mean output of a unit is preserved.
    """

    gram: Array
    cross: Array
    has_bias: bool = False

    @classmethod
    def empty(cls, num_groups: int, num_inputs: int, num_units: int, *, has_bias: bool = False) -> "NormalEquations":
        """Return equations without samples; ``num_units`` is of one group, ``num_inputs`` counts the bias."""
        gram = np.zeros((num_groups, num_inputs, num_inputs))
        return cls(gram, np.zeros((num_groups, num_inputs, num_units)), has_bias)

    def add(self, inputs: Array, targets: Array) -> None:
        """Add inputs of the pruned network, (groups, rows, n), and targets of the dense one, (groups, rows, units)."""
        self.gram += inputs.mT @ inputs
        self.cross += inputs.mT @ targets

    def single(self) -> "NormalEquations":
        """Return the equations in single precision, which takes half the time."""
        return NormalEquations(self.gram.astype(np.float32), self.cross.astype(np.float32), self.has_bias)

    def towards(self, dense: Array) -> "NormalEquations":
        """Return the equations with a ridge towards the dense weights, scaled so that the mean squared input is 1.

        The ridge makes them positive definite. Where all inputs are zero, only the ridge is left.
        """
        num_inputs = self.gram.shape[-1]
        scale = np.trace(self.gram, axis1=1, axis2=2)[:, None, None] / num_inputs
        scale = np.where(scale > 0, scale, 1.0)
        ridge = np.full(num_inputs, RIDGE)
        ridge[num_inputs - self.has_bias :] = 0.0
        return NormalEquations(self.gram / scale + np.diag(ridge), self.cross / scale + ridge[:, None] * dense)


def solve(equations: NormalEquations, support: Mask, start: Array, *, precision: float = PRECISION) -> Array:
    """Return the optimal weights, shape (groups, n, units), zero outside ``support``.

    Units that keep all their weights are solved together; all others at once by conjugate gradients, where an
    iteration is one matrix product for any supports. Factorising each unit's own matrix takes much longer.

    Args:
        equations: positive definite, as ``towards`` makes them.
        support: mask of the weights that may differ from zero, same shape.
        start: initial weights, shape (groups, n, units).
        precision: of conjugate gradients; more has no effect on accuracy.

    >>> equations = NormalEquations(np.eye(2)[None], np.array([[[1.0, 2.0], [3.0, 4.0]]]))
    >>> solve(equations, np.array([[[True, False], [True, True]]]), np.zeros((1, 2, 2)))
    array([[[1., 0.],
            [3., 4.]]])
    """
    whole = support.all(axis=1, keepdims=True)
    if (whole | ~support.any(axis=1, keepdims=True)).all():
        return np.linalg.solve(equations.gram, equations.cross) * support
    return _conjugate_gradients(equations, support, start, precision)


def _conjugate_gradients(equations: NormalEquations, support: Mask, start: Array, precision: float) -> Array:
    """Solve for all units at once, each preconditioned with the diagonal (Hestenes & Stiefel 1952)."""
    gram, cross = equations.gram, equations.cross * support
    diagonal = np.diagonal(gram, axis1=1, axis2=2)[:, :, None]
    weights = start * support
    residual = (cross - gram @ weights) * support
    goal = precision * np.linalg.norm(cross, axis=1, keepdims=True)
    direction = residual / diagonal
    energy = _dot(residual, direction)
    for _ in range(MAX_ITERATIONS):
        open_units = np.linalg.norm(residual, axis=1, keepdims=True) > goal
        if not open_units.any():
            break
        image = (gram @ direction) * support
        step = np.where(open_units, energy / np.where(open_units, _dot(direction, image), 1.0), 0.0)
        weights += step * direction
        residual -= step * image
        preconditioned = residual / diagonal
        before, energy = energy, _dot(residual, preconditioned)
        direction = preconditioned + energy / np.where(before > 0, before, 1.0) * direction
    return weights


def _dot(left: Array, right: Array) -> Array:
    """Return the inner product of each unit's columns, shape (groups, 1, units)."""
    inner: Array = np.einsum("gnu,gnu->gu", left, right)
    return inner[:, None]
