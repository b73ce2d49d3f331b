import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pruning.structure import UNITS, WEIGHTS, Grouping, n_of_m


def everything(shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, dtype=np.bool_)


def test_a_unit_goes_as_a_whole() -> None:
    scores = np.array([[1.0, 5.0, 2.0], [1.0, 0.0, 2.0]])

    mask = UNITS.keep(scores, 1 / 3, everything((2, 3)))

    assert mask.tolist() == [[False, True, True], [False, True, True]]


def test_a_block_lies_along_the_inputs_of_one_unit() -> None:
    """LiteRT stores Dense kernels as (units, inputs): its 1x2 block is two inputs of one unit."""
    scores = np.array([[1.0, 9.0], [1.0, 9.0], [9.0, 1.0], [9.0, 2.0]])

    mask = Grouping(inputs=2, units=1).keep(scores, 0.5, everything((4, 2)))

    assert mask.tolist() == [[False, True], [False, True], [True, False], [True, False]]


def test_scores_of_units_rank_units_as_scores_of_their_weights_would() -> None:
    mask = UNITS.keep(np.array([[3.0, 1.0, 2.0]]), 2 / 3, everything((4, 3)))

    assert mask.any(axis=0).tolist() == [True, False, False]


def test_a_group_that_was_cut_before_stays_cut() -> None:
    within = np.array([[True, False], [True, False]])

    mask = UNITS.keep(np.array([[1.0, 9.0], [1.0, 9.0]]), 0.5, within)

    assert mask.tolist() == within.tolist()


def test_n_of_m_cuts_the_weakest_candidates_of_all_groups_first() -> None:
    """Not frozen at the first step: while the ramp is under way every group may still choose."""
    scores = np.array([[1.0], [2.0], [30.0], [40.0]])

    halfway = n_of_m(1, 2)(scores, 0.25, everything((4, 1)))
    final = n_of_m(1, 2)(scores, 0.5, everything((4, 1)))

    assert halfway.ravel().tolist() == [False, True, True, True]
    assert final.ravel().tolist() == [False, True, False, True]


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4)]),
    st.integers(0, 99),
)
def test_n_of_m_keeps_exactly_n_of_each_m_in_the_end(
    windows: int, groups: int, units: int, pattern: tuple[int, int], seed: int
) -> None:
    n, m = pattern
    rng = np.random.default_rng(seed)
    scores = rng.random((windows * groups * m, units))
    halfway = n_of_m(n, m)(scores, 0.6 * (1 - n / m), everything(scores.shape))

    mask = n_of_m(n, m)(rng.random(scores.shape), 1 - n / m, halfway)

    kept = mask.reshape(-1, m, units).sum(axis=1)
    assert (kept == n).all()
    assert not (mask & ~halfway).any()


def test_n_of_m_reaches_its_pattern_beside_groups_that_have_fewer_weights_already() -> None:
    within = np.array([[False], [False], [True], [True]])

    mask = n_of_m(1, 2)(np.array([[1.0], [1.0], [1.0], [2.0]]), 0.5, within)

    assert mask.ravel().tolist() == [False, False, False, True]


@pytest.mark.parametrize("grouping", [WEIGHTS, UNITS, Grouping(inputs=2, units=2)])
@given(sparsity=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_every_structure_delivers_what_was_asked_to_the_nearest_group(
    grouping: Grouping, sparsity: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).random((8, 6))

    mask = grouping.keep(scores, sparsity, everything((8, 6)))

    groups = 48 // grouping.size((8, 6))
    assert np.count_nonzero(~mask) == min(round(groups * sparsity), groups - 1) * grouping.size((8, 6))
