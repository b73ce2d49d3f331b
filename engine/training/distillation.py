"""Distillation: a compressed network learns from the outputs of the uploaded one for each training sample.

The teacher's outputs are computed once, before any step. They are appended to the labels, in the same rows, so that
one shuffle moves both; loss and metric split the rows again. Validation rows hold labels only, unless labels have no
weight: then no training label is read, and epochs are compared by their agreement with the teacher.

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
"""Probabilities are clipped to this distance from 0 and 1 before they are converted to logits."""


def asks(recipe: Recipe) -> bool:
    """Whether a step of the recipe distils from the uploaded model."""
    trainings = filter(None, map(course_of, recipe.steps))
    return any(settings.distill is not None for _, settings in trainings)


@dataclass(frozen=True)
class Distillation:
    """The teacher that a training learns from besides its labels."""

    distill: Distill
    teacher: Array
    """Outputs for the training split, in its order, shape (n, units)."""

    held_out: Array | None = None
    """Outputs for the validation split."""

    @property
    def alone(self) -> bool:
        """Whether labels have no weight: none is read, and epochs are compared by their agreement with the teacher."""
        return self.distill.weight == 1.0

    def labels(self, objective: Objective, given: Array) -> Array:
        """The encoded training labels; the decisions of the teacher if labels have no weight."""
        return objective.encode(objective.decided(self.teacher) if self.alone else given)

    def rows(self, labels: Array) -> Array:
        """Encoded labels with the teacher's outputs appended.

        >>> Distillation(Distill(), np.array([[0.25, 0.75]])).rows(np.array([1]))
        array([[1.  , 0.25, 0.75]], dtype=float32)
        """
        return _behind(labels, self.teacher)

    def held_out_rows(self, labels: Array) -> Array:
        """Encoded labels of the validation split, with the teacher's outputs appended if labels have no weight."""
        return labels if self.held_out is None or not self.alone else _behind(labels, self.held_out)

    def loss(self, objective: Objective) -> Any:
        """The objective's loss combined with the difference from the teacher, on rows that have one."""
        return _Distilled(objective, self.distill)

    def metric(self, objective: Objective) -> Any | None:
        """The objective's metric on the labels alone; None if Keras has no such metric."""
        metric = objective.keras_metric()
        return None if metric is None else _OfLabels(metric)


def _behind(labels: Array, outputs: Array) -> Array:
    return np.concatenate([labels.reshape(len(labels), -1), outputs], axis=1).astype(np.float32)


def difference(objective: Objective, teacher: Any, student: Any, *, temperature: float) -> Any:
    """The difference of a student's outputs from a teacher's, both of shape (n, units); shape (n,), 0 if equal.

    Classes: T^2 KL(softmax(teacher / T) || softmax(student / T)); for binary cross-entropy the same for each unit,
    averaged over units. Probabilities are converted to logits. Regression: the mean squared difference.
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
"""The differences by the name of the objective's loss; every other loss uses the mean square."""


def _inside(probabilities: Any) -> Any:
    return keras.ops.clip(probabilities, SMALLEST, 1 - SMALLEST)


def _apart(rows: Any, outputs: Any) -> tuple[Any, Any | None]:
    """Labels and the teacher's outputs; None for the outputs if the rows hold labels only."""
    units = outputs.shape[-1]
    if len(rows.shape) == 1 or rows.shape[-1] <= units:
        return rows, None
    return rows[:, :-units], rows[:, -units:]


class _Distilled(keras.losses.Loss):  # type: ignore[misc]
    """(1 - weight) x the objective's own loss + weight x the difference from the teacher."""

    def __init__(self, objective: Objective, distill: Distill) -> None:
        super().__init__(name="distilled")
        self._objective, self._distill = objective, distill

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, teacher = _apart(y_true, y_pred)
        if teacher is None:
            return self._objective.loss.call(labels, y_pred)
        taught = difference(self._objective, teacher, y_pred, temperature=self._distill.temperature)
        if self._distill.weight == 1.0:  # labels are unused, and may be NaN
            return taught
        own = self._objective.loss.call(labels, y_pred)
        return (1 - self._distill.weight) * own + self._distill.weight * taught


class _OfLabels(keras.metrics.Metric):  # type: ignore[misc]
    """A metric that ignores the teacher's outputs."""

    def __init__(self, metric: Any) -> None:
        super().__init__(name=metric.name)
        self._metric = metric

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._metric.update_state(_apart(y_true, y_pred)[0], y_pred, sample_weight)

    def result(self) -> Any:
        return self._metric.result()

    def reset_state(self) -> None:
        self._metric.reset_state()
