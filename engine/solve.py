"""Solve a layer again on the weights that stay: least squares, towards what the dense layer computed.

Pure functions over normal equations. For inputs ``a`` (rows: positions, columns: inputs of a unit) and targets ``t``
(what the dense layer gave before its activation), each output column w minimises, on its support,

    |a w - t|^2 + ridge |w - w_dense|^2

He et al. 2017, "Channel Pruning" (arXiv:1707.06168), and Frantar & Alistarh 2022, "Optimal Brain Compression"
(arXiv:2208.11580), are of the same family.
"""

from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Mask
from engine.mask import keep_largest
from engine.schedule import cubic

RIDGE = 1e-2
"""Weight of the pull towards the dense weights, relative to the mean squared input."""

STAGES = 5
"""Cuts on the way to the full sparsity, each followed by a solve; a single cut loses more."""


@dataclass
class NormalEquations:
    """What is left of any number of samples: ``gram`` = a'a, shape (n, n), and ``cross`` = a't, shape (n, units)."""

    gram: Array
    cross: Array

    @classmethod
    def empty(cls, num_inputs: int, num_units: int) -> "NormalEquations":
        return cls(np.zeros((num_inputs, num_inputs)), np.zeros((num_inputs, num_units)))

    def add(self, inputs: Array, targets: Array) -> None:
        """Take in rows: inputs of the cut network, shape (rows, n), targets of the dense one, shape (rows, units)."""
        self.gram += inputs.T @ inputs
        self.cross += inputs.T @ targets

    def towards(self, dense: Array) -> "NormalEquations":
        """The same with the pull towards the dense weights, shape (n, units), which also makes them solvable."""
        ridge = RIDGE * np.trace(self.gram) / len(self.gram) + 1e-12
        return NormalEquations(self.gram + ridge * np.eye(len(self.gram)), self.cross + ridge * dense)


def solve(equations: NormalEquations, support: Mask) -> Array:
    """The weights, shape (n, units), zero outside ``support`` and best inside it, column by column.

    >>> equations = NormalEquations(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> solve(equations, np.array([[True, False], [True, True]]))
    array([[1., 0.],
           [3., 4.]])
    """
    if support.all():
        return np.linalg.solve(equations.gram, equations.cross)
    weights = np.zeros_like(equations.cross)
    for column in range(support.shape[1]):
        kept = np.flatnonzero(support[:, column])
        if len(kept):
            weights[kept, column] = np.linalg.solve(equations.gram[np.ix_(kept, kept)], equations.cross[kept, column])
    return weights


def cut_and_solve(equations: NormalEquations, dense: Array, sparsity: float, *, within: Mask, prunable: Array) -> Array:
    """Cut a layer to a sparsity in stages and solve it again after each; small weights go, as they are by then.

    Args:
        dense: the weights to begin with, shape (n, units).
        sparsity: of the rows that are prunable.
        within: an earlier mask, shape (n, units). What it has cut stays cut.
        prunable: which rows may be cut, shape (n,); the bias is a row that may not.

    Returns:
        The new weights, shape (n, units).
    """
    pulled = equations.towards(dense)
    support, weights = within.copy(), dense * within
    for stage in range(1, STAGES + 1):
        target = cubic(stage / STAGES, initial=0.0, final=sparsity)
        support[prunable] = keep_largest(np.abs(weights[prunable]), target, within=support[prunable])
        weights = solve(pulled, support)
    return weights
