import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mask import num_zeros
from engine.solve import NormalEquations, cut_and_solve, solve


def layer(seed: int, rows: int = 200, n: int = 12, units: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Correlated inputs, as real activations are, and the weights of a dense layer on them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)) @ rng.normal(size=(4, n)) + 0.3 * rng.normal(size=(rows, n)), rng.normal(
        size=(n, units)
    )


def equations_of(inputs: np.ndarray, targets: np.ndarray) -> NormalEquations:
    equations = NormalEquations.empty(inputs.shape[1], targets.shape[1])
    for start in range(0, len(inputs), 64):
        equations.add(inputs[start : start + 64], targets[start : start + 64])
    return equations


def test_each_column_is_the_least_squares_solution_on_its_own_support() -> None:
    inputs, dense = layer(0)
    targets = inputs @ dense
    support = np.random.default_rng(1).random(dense.shape) < 0.6

    weights = solve(equations_of(inputs, targets), support)

    for column in range(dense.shape[1]):
        kept = support[:, column]
        expected = np.linalg.lstsq(inputs[:, kept], targets[:, column], rcond=None)[0]
        assert np.allclose(weights[kept, column], expected, atol=1e-6)
        assert (weights[~kept, column] == 0).all()


@given(st.integers(0, 50), st.floats(0.1, 0.9))
def test_solving_again_never_serves_worse_than_leaving_the_weights_as_they_were(seed: int, sparsity: float) -> None:
    """The point of it all: the same zeros, closer to the dense layer."""
    inputs, dense = layer(seed)
    equations = equations_of(inputs, inputs @ dense)
    everywhere = np.ones_like(dense, dtype=bool)

    weights = cut_and_solve(equations, dense, sparsity, within=everywhere, prunable=np.ones(len(dense), bool))

    plain = np.linalg.norm(inputs @ (dense * (weights != 0)) - inputs @ dense)
    solved = np.linalg.norm(inputs @ weights - inputs @ dense)
    assert solved <= plain * 1.01 + 1e-9
    assert np.count_nonzero(weights == 0) >= num_zeros(dense.size, sparsity)


def test_without_a_cut_the_dense_weights_come_back() -> None:
    inputs, dense = layer(3)
    everywhere = np.ones_like(dense, dtype=bool)

    weights = cut_and_solve(
        equations_of(inputs, inputs @ dense), dense, 0.0, within=everywhere, prunable=np.ones(len(dense), bool)
    )

    assert np.allclose(weights, dense, atol=1e-8)


def test_a_bias_row_is_solved_and_never_cut_and_earlier_zeros_stay() -> None:
    inputs, dense = layer(4)
    inputs[:, -1] = 1.0
    dense[-1] = 1e-6
    within = np.ones_like(dense, dtype=bool)
    within[0] = False
    prunable = np.arange(len(dense)) < len(dense) - 1

    weights = cut_and_solve(equations_of(inputs, inputs @ dense), dense, 0.5, within=within, prunable=prunable)

    assert (weights[0] == 0).all()
    assert (weights[-1] != 0).all()
    assert (weights[prunable] == 0).mean() == pytest.approx(0.5, abs=0.5 / dense[prunable].size)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    """Dead units are common; their rows of the normal equations are singular."""
    inputs, dense = layer(5)
    targets = inputs @ dense
    inputs[:, 3] = 0.0

    weights = cut_and_solve(
        equations_of(inputs, targets), dense, 0.5, within=np.ones_like(dense, bool), prunable=np.ones(len(dense), bool)
    )

    assert np.isfinite(weights).all()
