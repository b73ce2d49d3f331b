"""Labels that number the classes in another order than the model."""

import numpy as np
import pytest

from engine.evaluation.class_order import class_order, order_mismatch, unseen_classes

LABELS = np.repeat([0, 1, 2], 10)


@pytest.mark.parametrize(
    ("predicted", "order"),
    [
        pytest.param(LABELS, None, id="in order"),
        pytest.param(np.array([1, 2, 0])[LABELS], (1, 2, 0), id="a cycle"),
        pytest.param(np.array([0, 0, 2])[LABELS], None, id="two labels in one class: the model is bad"),
        pytest.param(np.r_[np.repeat([1, 0], 4), np.full(22, 2)], None, id="few samples say so"),
        pytest.param(np.where(np.arange(30) % 10 < 6, np.array([1, 0, 2])[LABELS], LABELS), None, id="little gained"),
    ],
)
def test_another_order_is_seen_where_the_model_tells_the_classes_apart(
    predicted: np.ndarray, order: tuple[int, ...] | None
) -> None:
    assert class_order(LABELS, predicted, 3) == order


def test_named_classes_are_offered_in_the_order_of_the_model() -> None:
    """What the label calls ada is class 1 of the model, and so on."""
    predicted = np.array([1, 2, 0])[LABELS]

    mismatch = order_mismatch((1, 2, 0), LABELS, predicted, ["ada", "bob", "cy"])

    assert mismatch.suggestions[0].endswith("classes=cy,ada,bob.")
    assert "0.000, and 1.000" in mismatch.detail


def test_a_class_without_any_hit_is_named() -> None:
    assert unseen_classes(LABELS, np.zeros(30, int), ["ada", "bob", "cy"]) == ["bob", "cy"]
