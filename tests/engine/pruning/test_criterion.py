from typing import Any, get_args

import numpy as np
import pytest

from engine.pruning.criterion import (
    NEEDS,
    OF_UNITS,
    OF_WEIGHTS,
    SHARES,
    CriterionInputs,
    fpgm,
    std_threshold,
    taylor,
    taylor_of_units,
)
from secateur.specs.pruning import THRESHOLDS, UNIT_CRITERIA, Criterion

WEIGHTS = np.array([[3.0, -1.0, 0.0], [4.0, 1.0, 0.5]])
SEEN = CriterionInputs(
    WEIGHTS,
    gradients=np.array([[1.0, 2.0, 9.0], [1.0, -2.0, 2.0]]),
    input_norms=np.array([[10.0, 10.0, 10.0], [1.0, 1.0, 2.0]]),
    gamma=np.array([0.1, -5.0, 1.0]),
)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("magnitude", [[3, 1, 0], [4, 1, 0.5]]),
        ("threshold", [[3, 1, 0], [4, 1, 0.5]]),
        ("std_threshold", [[3, 1, 0], [4, 1, 0.5]]),
        ("taylor", [[9, 4, 0], [16, 4, 1]]),
        ("snip", [[3, 2, 0], [4, 2, 1]]),
        ("wanda", [[30, 10, 0], [4, 1, 1]]),
    ],
)
def test_a_criterion_scores_weights(criterion: Any, expected: list[list[float]]) -> None:
    assert OF_WEIGHTS[criterion](SEEN).tolist() == expected


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("l1_norm", [7, 2, 0.5]),
        ("l2_norm", [5, np.sqrt(2), 0.5]),
        ("taylor", [49, 16, 1]),
        ("bn_scale", [0.1, 5, 1]),
    ],
)
def test_a_criterion_scores_units(criterion: Any, expected: list[float]) -> None:
    assert OF_UNITS[criterion](SEEN) == pytest.approx(expected)


def test_the_unit_nearest_to_all_others_is_the_first_to_go() -> None:
    """Not the smallest: the one that the others can stand in for."""
    in_the_middle = np.array([[10.0, 0.0, 5.0], [10.0, 20.0, 15.0]])

    assert fpgm(in_the_middle).argmin() == 2


def test_a_units_changes_add_up_before_they_are_squared() -> None:
    """A unit whose weights cancel out does not matter, though each of its weights does."""
    weights, gradients = np.array([[1.0], [1.0]]), np.array([[5.0], [-5.0]])

    assert taylor(weights, gradients).sum() == 50
    assert taylor_of_units(weights, gradients).tolist() == [0]


def test_a_second_cycle_of_std_threshold_does_not_count_what_is_gone() -> None:
    """Zeros would shrink the deviation, and with it the line, from cycle to cycle."""
    weights = np.array([[-2.0, 2.0, -4.0, 4.0]])
    with_zeros = np.concatenate([weights, np.zeros((1, 4))], axis=1)

    line = float(weights.std())

    assert std_threshold(weights, 1.0) == np.mean(np.abs(weights) < line) == 0.5
    assert std_threshold(with_zeros, 1.0) == np.mean(np.abs(with_zeros) < line) == 0.75


def test_every_criterion_of_the_spec_can_be_asked() -> None:
    """A name in the spec without a function would fail in the middle of a job."""
    names = set(get_args(Criterion))

    assert set(OF_WEIGHTS) | set(OF_UNITS) == names
    assert set(OF_UNITS) >= UNIT_CRITERIA
    assert names - set(OF_WEIGHTS) == set(UNIT_CRITERIA)
    assert set(SHARES) == set(THRESHOLDS)
    assert set(NEEDS) <= names
