from typing import Any

import numpy as np
import pytest

from engine.objectives.agreement import agreement, skill
from engine.objectives.metrics import score, value, wilson


def test_the_interval_of_a_perfect_score_does_not_pretend_to_certainty() -> None:
    interval = wilson(100, 100)

    assert interval.value == interval.high == 1.0
    assert interval.low == pytest.approx(0.963, abs=0.001)


def test_errors_are_averaged_over_units_and_samples() -> None:
    truths, predictions = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 3.0]])

    assert score("mean_absolute_error", truths, predictions, predictions).value == 0.75
    assert score("mean_squared_error", truths, predictions, predictions).value == 1.25


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


CLASSES = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 1, 0])
ROWS = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
ROWS_SAID = np.array([[1, 0], [1, 0], [0, 0], [1, 1]])
VALUES = np.array([[1.0], [2.0], [3.0], [6.0]])
SCORES = np.array([[0.1], [0.8], [0.4], [0.35]])


@pytest.mark.parametrize(
    ("metric", "truths", "decided", "outputs", "expected"),
    [
        pytest.param("balanced_accuracy", CLASSES, SAID, None, (2 / 3 + 1 + 0) / 3, id="balanced accuracy"),
        pytest.param("f1", CLASSES, SAID, None, (4 / 6 + 4 / 5 + 0) / 3, id="F1 of classes"),
        pytest.param("f1", ROWS, ROWS_SAID, None, (4 / 5 + 2 / 3) / 2, id="F1 of labels"),
        pytest.param("exact_match", ROWS, ROWS_SAID, None, 2 / 4, id="exact match"),
        pytest.param("label_accuracy", ROWS, ROWS_SAID, None, 6 / 8, id="label accuracy"),
        pytest.param("auc", np.array([0, 1, 0, 1]), None, SCORES, 3 / 4, id="AUC of one unit"),
        pytest.param("auc", np.array([0, 1, 0, 1]), None, np.zeros((4, 1)), 0.5, id="AUC of ties"),
        pytest.param("auc", np.array([0, 1]), None, np.eye(3)[[0, 1]], 1.0, id="AUC without a class that nobody has"),
        pytest.param("auc", ROWS, None, np.c_[[3, 2, 2, 1], [0, 3, 1, 2]], (3.5 / 4 + 1) / 2, id="AUC of labels"),
        pytest.param("top_5_accuracy", np.array([0, 6]), None, np.tile(np.arange(7.0), (2, 1)), 0.5, id="top five"),
        pytest.param("root_mean_squared_error", VALUES, None, np.add(VALUES, [[0], [0], [4], [0]]), 2.0, id="RMSE"),
        pytest.param("r2", VALUES, None, np.full((4, 1), 3.0), 0.0, id="R2 of the mean"),
        pytest.param("r2", VALUES, None, np.add(VALUES, [[0], [0], [0], [1]]), 1 - 1 / 14, id="R2"),
    ],
)
def test_every_metric_is_what_its_definition_says(
    metric: Any, truths: Any, decided: Any, outputs: Any, expected: float
) -> None:
    found = score(metric, truths, decided, outputs)

    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high
    assert value(metric, truths, decided, outputs) == found.value
    assert score(metric, truths, decided, outputs) == found, "a bootstrap has a seed"


def test_an_interval_of_a_bootstrap_is_as_wide_as_that_of_the_same_metric_by_formula() -> None:
    """With classes of the same size, the mean of recalls varies like the accuracy."""
    truths = np.arange(2000) % 2
    decided = np.where(np.arange(2000) % 10 < 2, 1 - truths, truths)

    resampled, exact = score("balanced_accuracy", truths, decided, None), score("accuracy", truths, decided, None)

    assert resampled.value == exact.value == 0.8
    assert (resampled.low, resampled.high) == pytest.approx((exact.low, exact.high), abs=0.004)


def test_agreement_of_labels_counts_each_label_and_of_values_their_variance() -> None:
    assert agreement(ROWS, ROWS_SAID) == 6 / 8
    assert agreement(VALUES, VALUES) == 1.0


def test_labels_that_are_never_set_do_not_make_a_guess_skilful() -> None:
    rare = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])

    assert skill(rare, np.zeros((4, 2), np.int64)) == 0.0
    assert skill(rare, rare) == 1.0
