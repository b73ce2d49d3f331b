"""Select the kept weights together with their values, by the alternating direction method of multipliers (ADMM).

Two copies of the weights converge: ``free`` fits the dense layer's outputs with all weights, ``cut`` is ``free`` with
the lowest scores set to zero. A growing penalty on their difference moves the selection from the best fit to weights of
the requested sparsity. A weight that was pruned early may return, which pruning in stages never allows; at 99 %
sparsity that is worth many points of accuracy.

Boyd et al. 2011, "Distributed Optimization and Statistical Learning via ADMM"; Meng et al. 2024, "ALPS"
(arXiv:2406.07831), for one-shot pruning.
"""

from collections.abc import Callable

import numpy as np

from engine.arrays import Array, Mask
from engine.reconstruction.solve import NormalEquations, solve

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Weights of the difference, in order, in units of the mean squared input."""

ROUNDS = 5
"""Iterations for each penalty; more change the result only within its noise."""

Choose = Callable[[Array], Mask]
"""From weights to a mask of the kept weights, both of shape (groups, n, units)."""


def select_and_solve(equations: NormalEquations, dense: Array, within: Mask, choose: Choose | None) -> Array:
    """Select the weights that a layer keeps, and solve for their values.

    Args:
        equations: of the layer's samples.
        dense: the initial weights, shape (groups, n, units).
        within: an earlier mask; its zeros stay zero.
        choose: returns a mask inside ``within``. None keeps all weights of ``within``.

    Returns:
        The new weights, shape (groups, n, units).
    """
    pulled = equations.towards(dense)
    if choose is None:
        return solve(pulled, within, dense)
    rounded = pulled.single()
    cut, support = _agree(rounded, (dense * within).astype(np.float32), choose)
    return solve(rounded, support, cut)


def _agree(equations: NormalEquations, dense: Array, choose: Choose) -> tuple[Array, Mask]:
    """Return the sparse copy and its mask, from equations and weights in single precision."""
    gram, cross, cut = equations.gram, equations.cross, dense
    pressure, support = np.zeros_like(cut), np.ones_like(cut, dtype=np.bool_)
    for penalty in map(np.float32, PENALTIES):
        inverse = np.linalg.inv(gram + penalty * np.eye(gram.shape[-1], dtype=np.float32))
        for _ in range(ROUNDS):
            free = inverse @ (cross + penalty * cut - pressure)
            wanted = free + pressure / penalty
            support = choose(wanted)
            cut = wanted * support
            pressure += penalty * (free - cut)
    return cut, support


def select_whole_units(equations: NormalEquations, dense: Array, within: Mask, choose: Choose) -> Array:
    """Solve a layer, then remove whole units at once: no unit can make up for another.

    Units are scored by their weights on the remaining inputs.
    """
    weights = solve(equations.towards(dense), within, dense)
    return weights * choose(weights)
