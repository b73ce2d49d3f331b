"""Distillation: a compressed network learns from what the uploaded one said of each training sample.

The teacher's outputs are computed once, before anything is changed. They travel behind the labels, in the same
rows, so that one shuffle moves both; loss and metric take the rows apart. Validation rows hold labels only, unless
labels have no weight: then no training label is read, and epochs are judged by how near they are to the teacher.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array
from engine.objectives.objective import Objective
from secateur.specs.spec import Recipe
from secateur.specs.training import Distill
from secateur.validation.training import course_of

SMALLEST: Final = 1e-7
"""Probabilities are kept this far from 0 and 1 before they are turned back into logits."""


def asks(recipe: Recipe) -> bool:
    """Whether a step of the recipe learns from the uploaded model."""
    courses = filter(None, map(course_of, recipe.steps))
    return any(course.distill is not None for _, course in courses)


@dataclass(frozen=True)
class Distillation:
    """What a training learns besides its labels."""

    distill: Distill
    teacher: Array
    """Outputs for the training split, in its order, shape (n, units)."""

    held_out: Array | None = None
    """Outputs for the validation split."""

    @property
    def alone(self) -> bool:
        """Whether labels have no weight, so that none is read and epochs are judged by the teacher too."""
        return self.distill.weight == 1.0

    def labels(self, objective: Objective, given: Array) -> Array:
        """The training labels as the loss takes them; where they have no weight, what the teacher decides."""
        return objective.encode(objective.decided(self.teacher) if self.alone else given)

    def rows(self, labels: Array) -> Array:
        """Encoded labels with the teacher's outputs behind them.

        >>> Distillation(Distill(), np.array([[0.25, 0.75]])).rows(np.array([1]))
        array([[1.  , 0.25, 0.75]], dtype=float32)
        """
        return _behind(labels, self.teacher)

    def held_out_rows(self, labels: Array) -> Array:
        """Encoded labels of the validation split; with the teacher's outputs, where labels have no weight."""
        return labels if self.held_out is None or not self.alone else _behind(labels, self.held_out)

    def loss(self, objective: Objective) -> Any:
        """The objective's loss and, on rows of a teacher, what the outputs differ from it."""
        return _Distilled(objective, self.distill)

    def metric(self, objective: Objective) -> Any | None:
        """The objective's metric, against the labels alone; None where Keras has none of the kind."""
        metric = objective.keras_metric()
        return None if metric is None else _OfLabels(metric)


def _behind(labels: Array, outputs: Array) -> Array:
    return np.concatenate([labels.reshape(len(labels), -1), outputs], axis=1).astype(np.float32)


def difference(objective: Objective, teacher: Any, student: Any, *, temperature: float) -> Any:
    """How far outputs are from a teacher's, shape (n, units) both; shape (n,), 0 where they are the same.

    Classes: T^2 KL(softmax(teacher / T) || softmax(student / T)), for binary cross-entropy the same of each unit,
    averaged over units. Outputs that are probabilities are turned back into logits. Values: the mean square.
    """
    return DIFFERENCES.get(objective.loss_name, _square)(objective, teacher, student, temperature)


def _softmax(objective: Objective, teacher: Any, student: Any, temperature: float) -> Any:
    ops = keras.ops
    taught, said = (
        ops.log_softmax((outputs if objective.from_logits else ops.log(_inside(outputs))) / temperature)
        for outputs in (teacher, student)
    )
    return temperature**2 * ops.sum(ops.exp(taught) * (taught - said), axis=-1)


def _sigmoid(objective: Objective, teacher: Any, student: Any, temperature: float) -> Any:
    ops = keras.ops
    taught, said = (
        (outputs if objective.from_logits else ops.log(_inside(outputs)) - ops.log(1 - _inside(outputs))) / temperature
        for outputs in (teacher, student)
    )
    yes = ops.sigmoid(taught) * (ops.log_sigmoid(taught) - ops.log_sigmoid(said))
    no = ops.sigmoid(-taught) * (ops.log_sigmoid(-taught) - ops.log_sigmoid(-said))
    return temperature**2 * ops.mean(yes + no, axis=-1)


def _square(objective: Objective, teacher: Any, student: Any, temperature: float) -> Any:
    return keras.ops.mean(keras.ops.square(teacher - student), axis=-1)


DIFFERENCES: Final[Mapping[str, Callable[[Objective, Any, Any, float], Any]]] = {
    "sparse_categorical_crossentropy": _softmax,
    "categorical_crossentropy": _softmax,
    "binary_crossentropy": _sigmoid,
}
"""By the objective's loss, which tells what outputs are."""


def _inside(probabilities: Any) -> Any:
    return keras.ops.clip(probabilities, SMALLEST, 1 - SMALLEST)


def _apart(rows: Any, outputs: Any) -> tuple[Any, Any | None]:
    """Labels and, where rows are wider than labels can be, the teacher's outputs behind them."""
    units = outputs.shape[-1]
    if len(rows.shape) == 1 or rows.shape[-1] <= units:
        return rows, None
    return rows[:, :-units], rows[:, -units:]


class _Distilled(keras.losses.Loss):  # type: ignore[misc]
    """(1 - weight) x the objective's own loss + weight x the difference to the teacher."""

    def __init__(self, objective: Objective, distill: Distill) -> None:
        super().__init__(name="distilled")
        self._objective, self._distill = objective, distill

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, teacher = _apart(y_true, y_pred)
        if teacher is None:
            return self._objective.loss.call(labels, y_pred)
        taught = difference(self._objective, teacher, y_pred, temperature=self._distill.temperature)
        if self._distill.weight == 1.0:  # a label that says nothing may even be NaN
            return taught
        own = self._objective.loss.call(labels, y_pred)
        return (1 - self._distill.weight) * own + self._distill.weight * taught


class _OfLabels(keras.metrics.Metric):  # type: ignore[misc]
    """A metric that leaves the teacher's outputs aside."""

    def __init__(self, metric: Any) -> None:
        super().__init__(name=metric.name)
        self._metric = metric

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._metric.update_state(_apart(y_true, y_pred)[0], y_pred, sample_weight)

    def result(self) -> Any:
        return self._metric.result()

    def reset_state(self) -> None:
        self._metric.reset_state()
