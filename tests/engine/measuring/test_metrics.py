import numpy as np
import pytest

from engine.measuring.metrics import agreement, score, skill, wilson


def test_the_interval_of_a_perfect_score_does_not_pretend_to_certainty() -> None:
    interval = wilson(100, 100)

    assert interval.value == interval.high == 1.0
    assert interval.low == pytest.approx(0.963, abs=0.001)


def test_errors_are_averaged_over_units_and_samples() -> None:
    truths, predictions = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 3.0]])

    assert score("mean_absolute_error", truths, predictions).value == 0.75
    assert score("mean_squared_error", truths, predictions).value == 1.25


@pytest.mark.parametrize(
    ("truths", "predictions", "expected"),
    [
        pytest.param([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0] * 10, 0.0, id="always the most frequent class"),
        pytest.param([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2], 1.0, id="perfect"),
        pytest.param([0, 1, 0, 1], [1, 0, 1, 0], -1.0, id="flipped"),
    ],
)
def test_skill_sees_through_unbalanced_classes(truths: list[int], predictions: list[int], expected: float) -> None:
    """An accuracy of 90 % is nothing when nine of ten samples are of one class."""
    assert skill(np.array(truths), np.array(predictions)) == pytest.approx(expected)


def test_naming_the_mean_has_no_skill() -> None:
    truths = np.array([[1.0], [2.0], [3.0]])

    assert skill(truths, np.full((3, 1), 2.0)) == 0.0
    assert skill(truths, truths) == 1.0


def test_agreement_of_values_is_the_share_of_variance_explained() -> None:
    original = np.array([[0.0], [2.0]])

    assert agreement(original, original) == 1.0
    assert agreement(original, np.array([[0.0], [1.0]])) == 0.5
