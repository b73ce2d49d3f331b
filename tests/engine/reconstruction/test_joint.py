import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pruning.mask import keep_largest, num_zeros
from engine.reconstruction.joint import select_and_solve, select_whole_units
from engine.reconstruction.solve import solve
from tests.engine.reconstruction.test_solve import correlated, equations_of


def largest(sparsity: float, within: np.ndarray):  # type: ignore[no-untyped-def]
    return lambda weights: keep_largest(np.abs(weights), sparsity, within=within)


@given(st.integers(0, 50), st.floats(0.1, 0.9))
def test_as_many_zeros_as_asked_for_and_closer_to_the_dense_layer_than_a_plain_cut(seed: int, sparsity: float) -> None:
    """The point of it all."""
    inputs, dense = correlated(seed)
    everywhere = np.ones_like(dense, dtype=bool)
    choose = largest(sparsity, everywhere)

    weights = select_and_solve(equations_of(inputs, inputs @ dense), dense, everywhere, choose)

    plain = np.linalg.norm(inputs @ (dense * choose(dense)) - inputs @ dense)
    solved = np.linalg.norm(inputs @ weights - inputs @ dense)
    assert solved <= plain * 1.01 + 1e-9
    assert np.count_nonzero(weights == 0) == num_zeros(dense.size, sparsity)


def test_choosing_together_with_the_values_beats_solving_on_the_largest_weights() -> None:
    """What a weight is worth depends on which others stay: summed over layers that correlate as activations do."""
    joint = staged = 0.0
    for seed in range(8):
        inputs, dense = correlated(seed, num_inputs=40, units=6)
        everywhere = np.ones_like(dense, dtype=bool)
        equations, choose = equations_of(inputs, inputs @ dense), largest(0.9, everywhere)

        jointly = select_and_solve(equations, dense, everywhere, choose)
        simply = solve(equations.towards(dense), choose(dense), dense)

        joint += float(np.linalg.norm(inputs @ (jointly - dense)))
        staged += float(np.linalg.norm(inputs @ (simply - dense)))
    assert joint < 0.7 * staged


def test_without_a_cut_the_dense_weights_come_back() -> None:
    inputs, dense = correlated(3)

    weights = select_and_solve(equations_of(inputs, inputs @ dense), dense, np.ones_like(dense, dtype=bool), None)

    assert np.allclose(weights, dense, atol=1e-8)


def test_what_an_earlier_mask_cut_stays_cut() -> None:
    inputs, dense = correlated(4)
    within = np.ones_like(dense, dtype=bool)
    within[:, 0] = False

    weights = select_and_solve(equations_of(inputs, inputs @ dense), dense, within, largest(0.5, within))

    assert (weights[:, 0] == 0).all()
    assert (weights == 0).mean() == pytest.approx(0.5, abs=0.5 / dense.size)


def test_whole_units_go_and_those_that_stay_are_solved_on_all_their_weights() -> None:
    inputs, dense = correlated(5)
    dense[:, :, 1] *= 0.01

    def without_the_weakest(weights: np.ndarray) -> np.ndarray:
        norms = np.linalg.norm(weights, axis=1, keepdims=True)
        return np.broadcast_to(norms > norms.min(), weights.shape)

    weights = select_whole_units(
        equations_of(inputs, inputs @ dense), dense, np.ones_like(dense, bool), without_the_weakest
    )

    assert (weights[:, :, 1] == 0).all()
    assert np.allclose(weights[:, :, [0, 2]], dense[:, :, [0, 2]], atol=1e-6)
