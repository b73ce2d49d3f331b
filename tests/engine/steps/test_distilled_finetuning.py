"""Distillation: what the loss is, and that a network which learns from the uploaded one comes to agree with it."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from engine.evaluation import measure
from engine.models.predict import predict
from engine.objectives.compiled import LOSSES
from engine.objectives.objective import Objective, Task
from engine.run.context import Run
from engine.run.load import load
from engine.steps.finetune import finetune
from engine.training.distillation import Distillation, difference
from secateur.specs.reading import Reading
from secateur.specs.spec import Loss, Recipe
from secateur.specs.training import Distill, Finetune

layers = keras.layers
MNIST = Path(__file__).parents[3] / "examples" / "mnist"


def objective(task: Task, loss: Loss, *, from_logits: bool = False, units: int = 2) -> Objective:
    options = {"from_logits": from_logits} if "crossentropy" in loss else {}
    metric: Any = "mean_squared_error" if task == "regression" else "accuracy"
    return Objective(task, loss, LOSSES[loss](**options), metric, from_logits, units, "given")


CLASSES = objective("multiclass", "sparse_categorical_crossentropy")
CLASSES_OF_LOGITS = objective("multiclass", "categorical_crossentropy", from_logits=True)
BINARY = objective("binary", "binary_crossentropy", units=1)
BINARY_OF_LOGITS = objective("binary", "binary_crossentropy", from_logits=True, units=1)
VALUES = objective("regression", "mean_absolute_error")


def tensors(*outputs: Any) -> list[Any]:
    return [keras.ops.convert_to_tensor(value, dtype="float32") for value in outputs]


@pytest.mark.parametrize(
    ("aim", "outputs"),
    [
        (CLASSES, [[0.25, 0.75], [0.0, 1.0]]),
        (CLASSES_OF_LOGITS, [[1.0, -2.0], [30.0, 0.0]]),
        (BINARY, [[0.25], [1.0]]),
        (BINARY_OF_LOGITS, [[-2.0], [90.0]]),
        (VALUES, [[3.0, -1.0], [0.0, 0.0]]),
    ],
    ids=["classes", "logits", "binary", "binary logits", "values"],
)
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(aim: Objective, outputs: Any) -> None:
    """Also where probabilities are 0 and 1, of which the logits are infinite."""
    (teacher,) = tensors(outputs)
    labels = np.zeros((2, 1 if aim is CLASSES else teacher.shape[1]), np.float32)
    rows = Distillation(Distill(weight=1.0), np.array(outputs)).rows(labels)

    with tf.GradientTape() as tape:
        tape.watch(teacher)
        loss = Distillation(Distill(weight=1.0), np.array(outputs)).loss(aim)(tf.constant(rows), teacher)

    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert np.abs(tape.gradient(loss, teacher)).max() == pytest.approx(0.0, abs=1e-6)


KL = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
"""Of an even coin from one that shows heads four times in five."""

LOGIT = math.log(0.8 / 0.2)


@pytest.mark.parametrize(
    ("aim", "teacher", "student"),
    [
        (CLASSES, [[0.5, 0.5]], [[0.8, 0.2]]),
        (CLASSES_OF_LOGITS, [[7.0, 7.0]], [[LOGIT, 0.0]]),
        (BINARY, [[0.5]], [[0.8]]),
        (BINARY_OF_LOGITS, [[0.0]], [[LOGIT]]),
    ],
    ids=["classes", "logits", "binary", "binary logits"],
)
def test_classifiers_differ_by_how_far_their_probabilities_are_apart(aim: Any, teacher: Any, student: Any) -> None:
    assert np.mean(difference(aim, *tensors(teacher, student), temperature=1.0)) == pytest.approx(KL, rel=1e-5)


def test_a_temperature_divides_logits_and_is_made_good_by_its_square() -> None:
    (hot,) = difference(CLASSES_OF_LOGITS, *tensors([[0.0, 0.0]], [[3 * LOGIT, 0.0]]), temperature=3.0)

    assert float(hot) == pytest.approx(9 * KL, rel=1e-5)


def test_values_differ_by_their_mean_square() -> None:
    assert np.mean(difference(VALUES, *tensors([[1.0, 2.0]], [[1.0, 4.0]]), temperature=4.0)) == 2.0


def test_the_weight_shares_the_loss_between_labels_and_teacher() -> None:
    distillation = Distillation(Distill(temperature=1.0, weight=0.25), np.array([[0.5, 0.5]]))
    outputs = tf.constant([[0.8, 0.2]])
    loss, own = distillation.loss(CLASSES), -math.log(0.2)

    taught = float(loss(tf.constant(distillation.rows(np.array([1]))), outputs))
    alone = float(loss(tf.constant([1]), outputs))

    assert taught == pytest.approx(0.75 * own + 0.25 * KL, rel=1e-5)
    assert alone == pytest.approx(own, rel=1e-5), "validation has no teacher"


@pytest.mark.parametrize("labels", [np.array([1, 0]), np.array([[0.0, 1.0], [1.0, 0.0]])], ids=["classes", "one-hot"])
def test_the_metric_looks_at_labels_alone(labels: Any) -> None:
    aim = CLASSES if labels.ndim == 1 else objective("multiclass", "categorical_crossentropy")
    distillation = Distillation(Distill(), np.array([[0.9, 0.1], [0.1, 0.9]]))
    metric = distillation.metric(aim)

    metric.update_state(tf.constant(distillation.rows(labels)), tf.constant([[0.2, 0.8], [0.3, 0.7]]))

    assert float(metric.result()) == 0.5
    metric.reset_state()
    assert float(metric.result()) == 0.0


def run_of(folder: Path, model: Any, step: Finetune, **arrays: Any) -> Run:
    np.savez(folder / "data.npz", **arrays)
    if not isinstance(model, Path):
        model.save(folder / "model.keras")
        model = folder / "model.keras"
    recipe = Recipe(steps=(step,), on_chance_baseline="continue")
    scale: Any = "1/255" if arrays["x_train"].dtype == np.uint8 else "none"
    return load(recipe, model=model, dataset=folder / "data.npz", reading=Reading(scale=scale))


def test_a_cut_network_comes_to_agree_with_the_one_that_it_was(tmp_path: Path) -> None:
    """Whatever the labels say: here they are all wrong, and have no weight."""
    with np.load(MNIST / "mnist.npz") as data:
        few = {name: data[name][:1500] for name in ("x_train", "y_train", "x_test", "y_test")}
    step = Finetune(epochs=1, learning_rate=1e-3, learning_rate_schedule="constant", distill=Distill(weight=1.0))
    few["y_train"] = (few["y_train"] + 1) % 10
    run = run_of(tmp_path, MNIST / "model.keras", step, **few)
    pictures = run.context.feed(few["x_test"])
    before = predict(run.model, pictures).argmax(axis=1)
    for kernel in run.masks.kernels:
        weights = keras.ops.convert_to_numpy(kernel.variable)
        kernel.variable.assign(weights * (np.abs(weights) > np.quantile(np.abs(weights), 0.9)))

    def agreement() -> float:
        return float((predict(run.model, pictures).argmax(axis=1) == before).mean())

    cut = agreement()
    finetune(run, step, "finetune", lambda _: None)

    assert agreement() > max(0.9, cut)
    assert any("distillation from the uploaded model" in note for note in run.notes)


def test_a_regression_learns_from_its_teacher_and_is_validated_by_labels(tmp_path: Path) -> None:
    """Labels that contradict the teacher: with all the weight on it, only validation sees them."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype("f4")
    y = (x.sum(axis=1, keepdims=True) + 10).astype("f4")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    step = Finetune(
        epochs=3,
        learning_rate=1e-2,
        learning_rate_schedule="constant",
        best_epoch=False,
        distill=Distill(weight=1.0),
    )
    run = run_of(tmp_path, model, step, x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    assert run.context.teacher is not None
    for variable in run.model.trainable_variables:
        variable.assign(variable * 0.5)

    def apart() -> float:
        outputs = measure.outputs_of(run.model, run.context.feed, run.context.data.train.x)
        return float(np.square(outputs - run.context.teacher).mean())

    before = apart()
    finetune(run, step, "finetune", lambda _: None)

    held_out = run.context.data.validation
    expected = run.context.objective.score(held_out.y, predict(run.model, held_out.x))
    assert apart() < before / 4
    assert run.history[-1].val_metric == pytest.approx(expected, rel=1e-4)
    assert expected > 5.0


def test_a_teacher_is_asked_only_when_a_step_learns_from_it(tmp_path: Path) -> None:
    x, y = np.eye(4, dtype="f4").repeat(10, 0), np.arange(4).repeat(10)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="softmax")])

    run = run_of(tmp_path, model, Finetune(epochs=1), x_train=x, y_train=y, x_test=x, y_test=y)

    assert run.context.teacher is None


@pytest.mark.parametrize(
    "kind", ["classes", pytest.param("one-hot", marks=pytest.mark.slow), pytest.param("values", marks=pytest.mark.slow)]
)
def test_with_all_the_weight_on_the_teacher_no_training_label_is_read(tmp_path: Path, kind: str) -> None:
    """Unlabelled data work: whatever stands in the place of labels, the same weights come out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype("f4")
    classes = rng.integers(0, 2, 120)
    given: dict[str, Any] = {"classes": classes, "one-hot": np.eye(2)[classes], "values": x[:, :2]}
    activation = None if kind == "values" else "softmax"
    step = Finetune(epochs=2, learning_rate=1e-2, distill=Distill(weight=1.0))
    found = []
    for number, y in enumerate((given[kind], given[kind][::-1])):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), layers.Dense(8, "relu"), layers.Dense(2, activation=activation)])
        folder = tmp_path / str(number)
        folder.mkdir()
        held_out = {"x_val": x[:40], "y_val": given[kind][:40], "x_test": x[:40], "y_test": given[kind][:40]}
        run = run_of(folder, model, step, x_train=x, y_train=y, **held_out)
        for variable in run.model.trainable_variables:
            variable.assign(variable * 0.5)
        finetune(run, step, "finetune", lambda _: None)
        found.append([np.array(weights) for weights in run.model.get_weights()])

    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*found, strict=True))
    assert run.history[0].val_loss > run.history[-1].val_loss, "epochs are judged by the teacher"


@pytest.mark.parametrize(
    ("aim", "teacher", "decided"),
    [
        (CLASSES, [[0.2, 0.8], [0.9, 0.1]], [1, 0]),
        (BINARY, [[0.7], [0.1]], [[1.0], [0.0]]),
        (VALUES, [[3.0, -1.0], [0.5, 2.0]], [[3.0, -1.0], [0.5, 2.0]]),
    ],
    ids=["classes", "binary", "values"],
)
def test_what_stands_in_the_place_of_labels_is_never_touched(aim: Objective, teacher: Any, decided: Any) -> None:
    """Not even looked at: the place of labels may hold nothing at all, and a label NaN."""
    distillation = Distillation(Distill(weight=1.0), np.array(teacher, np.float32))
    nothing: Any = None

    assert np.allclose(distillation.labels(aim, nothing), decided)
    rows = distillation.rows(np.full(2, np.nan) if aim is CLASSES else np.full_like(teacher, np.nan, dtype=np.float32))
    assert np.isfinite(float(distillation.loss(aim)(tf.constant(rows), tf.constant(teacher))))
