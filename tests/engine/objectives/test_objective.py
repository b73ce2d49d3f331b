from typing import Any

import keras
import numpy as np
import pytest

from engine.objectives.objective import resolve
from secateur.errors import LabelsMismatch, ObjectiveUnknown
from secateur.specs.spec import Objective


def model(units: int, activation: str | None, loss: Any = None, metrics: Any = None) -> Any:
    built = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation=activation)])
    if loss is not None:
        built.compile(loss=loss, metrics=metrics)
    return built


@pytest.mark.parametrize(
    ("units", "activation", "loss", "labels", "expected", "from_logits"),
    [
        pytest.param(4, "softmax", None, "classes", "sparse_categorical_crossentropy", False, id="inferred"),
        pytest.param(4, None, None, "classes", "sparse_categorical_crossentropy", True, id="inferred from logits"),
        pytest.param(4, "softmax", None, "one_hot", "categorical_crossentropy", False, id="inferred one-hot"),
        pytest.param(1, "sigmoid", None, "classes", "binary_crossentropy", False, id="inferred binary"),
        pytest.param(2, None, None, "values", "mean_squared_error", False, id="inferred regression"),
        pytest.param(3, "sigmoid", None, "multi_label", "binary_crossentropy", False, id="inferred several labels"),
        pytest.param(3, None, "categorical_crossentropy", "multi_label", "binary_crossentropy", True, id="of logits"),
        pytest.param(4, None, "mse", "values", "mean_squared_error", False, id="compiled by name"),
        pytest.param(
            4,
            "softmax",
            "categorical_crossentropy",
            "classes",
            "categorical_crossentropy",
            False,
            id="compiled one-hot",
        ),
        pytest.param(
            4,
            None,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "classes",
            "sparse_categorical_crossentropy",
            True,
            id="compiled with options",
        ),
        pytest.param(1, None, "mse", "classes", "mean_squared_error", False, id="compiled squared error on classes"),
        pytest.param(
            2, None, "binary_crossentropy", "values", "mean_squared_error", False, id="loss that does not fit"
        ),
    ],
)
def test_loss_and_logits_are_found(
    units: int, activation: str | None, loss: Any, labels: Any, expected: str, from_logits: bool
) -> None:
    objective = resolve(model(units, activation, loss), labels, Objective())

    assert objective.loss_name == expected
    assert objective.from_logits is from_logits
    assert objective.loss.get_config().get("from_logits", False) is from_logits


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_labels_are_encoded_for_any_loss_of_classes(loss: Any, one_hot: bool) -> None:
    """Integer labels with a model that was compiled for one-hot rows must train, and the other way round."""
    labels = np.array([0, 2, 1])
    objective = resolve(model(3, "softmax"), "one_hot" if one_hot else "classes", Objective(loss=loss))
    stored = np.eye(3, dtype=np.float32)[labels] if one_hot else labels
    outputs = np.eye(3, dtype=np.float32)[[0, 2, 2]]

    loss_value = float(objective.loss(objective.encode(stored), outputs))

    assert np.isfinite(loss_value)
    assert np.array_equal(objective.truths(stored), labels)
    assert objective.score(stored, outputs) == 2 / 3


@pytest.mark.parametrize(("activation", "outputs"), [("sigmoid", [0.2, 0.7]), (None, [-1.0, 0.3])])
def test_binary_predictions_use_the_threshold_of_their_activation(activation: str | None, outputs: list[float]) -> None:
    objective = resolve(model(1, activation), "classes", Objective())

    assert objective.decided(np.array(outputs)[:, None]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ("values", Objective(loss="categorical_crossentropy")),
        ("values", Objective(metric="accuracy")),
        ("classes", Objective(metric="mean_absolute_error")),
        ("one_hot", Objective(metric="exact_match")),
        ("classes", Objective(metric="top_5_accuracy")),
        ("multi_label", Objective(metric="accuracy")),
        ("multi_label", Objective(loss="categorical_crossentropy")),
        ("values", Objective(metric="auc")),
    ],
)
def test_an_objective_that_the_labels_cannot_serve_is_refused(labels: Any, wanted: Objective) -> None:
    with pytest.raises(LabelsMismatch) as caught:
        resolve(model(4, None), labels, wanted)

    assert caught.value.errors[0].field == ("objective.loss" if wanted.loss else "objective.metric")
    assert caught.value.suggestions[0].startswith("Choose ")


def test_several_labels_are_decided_one_by_one() -> None:
    objective = resolve(model(3, "sigmoid"), "multi_label", Objective())
    labels, outputs = np.array([[1, 0, 1], [0, 0, 1]], np.float32), np.array([[0.9, 0.6, 0.1], [0.2, 0.4, 0.7]])

    assert objective.metric == "f1"
    assert objective.decided(outputs).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert objective.score(labels, outputs) == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert objective.agreement(outputs, 1 - outputs) == 0.0
    assert np.isfinite(float(objective.loss(objective.encode(labels), outputs)))


def test_the_area_under_the_curve_of_logits_is_that_of_their_probabilities() -> None:
    """A logit is only worth what the others of its sample are not."""
    logits = np.array([[9.0, 0.0, 0.0], [1.0, 9.0, 0.0], [8.0, 0.0, 9.0], [20.0, 21.0, 0.0]])
    labels = np.array([0, 1, 2, 1])
    of_logits = resolve(model(3, None), "classes", Objective(metric="auc"))
    of_shares = resolve(model(3, "softmax"), "classes", Objective(metric="auc"))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    assert of_logits.score(labels, logits) == of_shares.score(labels, shares) == 1.0


def test_outputs_that_are_no_rows_are_refused() -> None:
    images = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])

    with pytest.raises(ObjectiveUnknown):
        resolve(images, "classes", Objective())


def test_the_metric_of_a_regression_comes_from_the_compile_config() -> None:
    assert resolve(model(1, None, "mse", ["mse"]), "values", Objective()).metric == "mean_squared_error"
    assert resolve(model(1, None, "mse", ["mae"]), "values", Objective()).metric == "mean_absolute_error"


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(lambda: keras.layers.Reshape((1,)), id="reshape"),
        pytest.param(lambda: keras.layers.Activation("linear", dtype="float32"), id="linear in float32"),
        pytest.param(lambda: keras.layers.Dropout(0.1), id="dropout"),
    ],
)
@pytest.mark.parametrize(("activation", "expected"), [("sigmoid", False), (None, True)])
def test_layers_that_only_hand_on_do_not_hide_the_activation(last: Any, activation: str | None, expected: bool) -> None:
    """Taking probabilities for logits puts the threshold at 0, and a good model is called a guess."""
    built = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation=activation), last()])
    built.compile(loss="binary_crossentropy")

    assert resolve(built, "classes", Objective()).from_logits is expected


def test_a_classifier_that_was_trained_on_squared_error_is_cut_at_a_half() -> None:
    objective = resolve(model(1, None, "mse"), "classes", Objective())

    assert objective.decided(np.array([[0.2], [0.7]])).tolist() == [0, 1]
