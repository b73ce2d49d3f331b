"""What training minimises and what the report measures: given, or from the compile config, or inferred.

Labels are encoded to fit the loss, so that integer classes work with a model that was trained on one-hot rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import keras
import numpy as np

from engine.arrays import Array
from engine.measuring import metrics
from jobspec import spec
from jobspec.errors import FieldError, LabelsMismatch, ObjectiveUnknown
from jobspec.summaries import LabelKind

Task = Literal["multiclass", "binary", "regression"]

CROSS_ENTROPY: Final = {"sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"}
LOSSES: Final[Mapping[spec.Loss, Callable[..., Any]]] = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
}


PASSING: Final = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout, keras.layers.Identity)
"""Layers that hand on what they are given."""


@dataclass(frozen=True)
class Objective:
    """Loss and metric of one model on one data set."""

    task: Task
    loss_name: spec.Loss
    loss: Any
    metric: spec.Metric
    from_logits: bool
    num_units: int
    source: str
    """Where the loss came from, in words for the report."""

    @property
    def higher_is_better(self) -> bool:
        return self.metric == "accuracy"

    def encode(self, labels: Array) -> Array:
        """Labels in the form that the loss takes: (n,) classes, or (n, units) rows."""
        if labels.ndim == 1 and self.task == "binary":
            return labels.astype(np.float32)[:, None]
        if labels.ndim == 1 and self.loss_name != "sparse_categorical_crossentropy" and self.task == "multiclass":
            return np.eye(self.num_units, dtype=np.float32)[labels]
        if labels.ndim == 2 and self.loss_name == "sparse_categorical_crossentropy":
            return np.asarray(labels.argmax(axis=1))
        return labels

    def predictions(self, outputs: Array) -> Array:
        """What outputs say: classes, shape (n,), or values, shape (n, units)."""
        flat = outputs.reshape(len(outputs), -1)
        match self.task:
            case "multiclass":
                return np.asarray(flat.argmax(axis=1))
            case "binary":
                return (flat[:, 0] > (0.0 if self.from_logits else 0.5)).astype(np.int64)
            case "regression":
                return flat

    def score(self, labels: Array, predictions: Array) -> float:
        """The metric of predictions."""
        return metrics.score(self.metric, self.truths(labels), predictions).value

    def goodness(self, labels: Array, predictions: Array) -> float:
        """The same, turned so that higher is better whatever the metric."""
        return self.score(labels, predictions) * (1.0 if self.higher_is_better else -1.0)

    def truths(self, labels: Array) -> Array:
        """What labels say, in the form of ``predictions``."""
        match self.task:
            case "multiclass":
                return labels.argmax(axis=1) if labels.ndim == 2 else labels
            case "binary":
                return labels.reshape(len(labels)).astype(np.int64)
            case "regression":
                return labels.reshape(len(labels), -1)

    @property
    def has_two_classes(self) -> bool:
        """Whether the labels are one of two classes, which may have been exchanged."""
        return self.task == "binary" or (self.task == "multiclass" and self.num_units == 2)

    @property
    def rightness_name(self) -> str:
        """What the mean of ``rightness`` is called."""
        return "R2" if self.task == "regression" else "accuracy"

    def rightness(self, truths: Array, predictions: Array) -> Array:
        """How good each prediction is, shape (n,), higher is better: 1 or 0 for classes, minus the squared error."""
        if self.task == "regression":
            return np.asarray(-((truths - predictions).astype(np.float64) ** 2).mean(axis=1))
        return np.asarray(truths == predictions, dtype=np.float64)

    def keras_metric(self) -> Any:
        """The metric as Keras shows it during training, named ``metric``."""
        if self.metric == "mean_squared_error":
            return keras.metrics.MeanSquaredError(name="metric")
        if self.metric == "mean_absolute_error":
            return keras.metrics.MeanAbsoluteError(name="metric")
        if self.task == "binary":
            return keras.metrics.BinaryAccuracy(name="metric", threshold=0.0 if self.from_logits else 0.5)
        if self.loss_name == "sparse_categorical_crossentropy":
            return keras.metrics.SparseCategoricalAccuracy(name="metric")
        return keras.metrics.CategoricalAccuracy(name="metric")


def resolve(model: Any, label_kind: LabelKind, wanted: spec.Objective) -> Objective:
    """The objective for a model with one output and labels of one kind.

    Raises:
        ObjectiveUnknown: the output is not one row of units a sample.
        LabelsMismatch: the loss or metric that was asked for does not go with the labels.
    """
    shape = model.outputs[0].shape
    if len(shape) != 2 or shape[-1] is None:
        raise ObjectiveUnknown(
            f"The output has shape {tuple(shape)}; one row of units a sample, (batch, units), is what we can score.",
            suggestions=["End the model with Flatten or a pooling layer and Dense."],
        )
    units = int(shape[-1])
    task: Task = "regression" if label_kind == "values" else "binary" if units == 1 else "multiclass"
    _check_wanted(wanted, task)
    stored_name, stored = _compiled_loss(model)
    metric = wanted.metric or ("accuracy" if task != "regression" else _compiled_metric(model))
    if wanted.loss is not None:
        name, source, stored = wanted.loss, "given", None
    elif stored_name is not None and not (task == "regression" and stored_name in CROSS_ENTROPY):
        name, source = stored_name, "from the model's compile config"
    else:
        name, source, stored = _inferred(task, label_kind), "inferred from outputs and labels", None
    if name in ("sparse_categorical_crossentropy", "categorical_crossentropy") and units == 1:
        name, stored = "binary_crossentropy", None
    from_logits = False
    if name in CROSS_ENTROPY:
        from_logits = stored.get("from_logits", False) if stored is not None else _ends_in_logits(model)
    options = {"from_logits": from_logits} if name in CROSS_ENTROPY else {}
    loss = LOSSES[name].from_config(stored) if stored is not None else LOSSES[name](**options)  # type: ignore[attr-defined]
    return Objective(task, name, loss, metric, bool(from_logits), units, source)


def _check_wanted(wanted: spec.Objective, task: Task) -> None:
    regression = task == "regression"
    if regression and (wanted.loss in CROSS_ENTROPY or wanted.metric == "accuracy"):
        field = "objective.loss" if wanted.loss in CROSS_ENTROPY else "objective.metric"
        raise LabelsMismatch(
            "The labels are values to regress; cross-entropy and accuracy need classes.",
            errors=[FieldError(field=field, messages=("needs classes",))],
            suggestions=["Store classes as whole numbers in y_train, or choose mean_squared_error."],
        )
    if not regression and wanted.metric not in (None, "accuracy"):
        raise LabelsMismatch(
            f"The labels are classes; {wanted.metric} needs values.",
            errors=[FieldError(field="objective.metric", messages=("needs values",))],
            suggestions=["Choose accuracy, or store the labels as floats."],
        )


def _inferred(task: Task, label_kind: LabelKind) -> spec.Loss:
    if task == "regression":
        return "mean_squared_error"
    if task == "binary":
        return "binary_crossentropy"
    return "sparse_categorical_crossentropy" if label_kind == "classes" else "categorical_crossentropy"


def _compiled_loss(model: Any) -> tuple[spec.Loss | None, dict[str, Any] | None]:
    """Name and options of the loss that the model was compiled with, when it is one that we know."""
    stored = (model.get_compile_config() or {}).get("loss")
    stored = stored[0] if isinstance(stored, list) and len(stored) == 1 else stored
    try:
        found: Any = keras.losses.get(stored) if isinstance(stored, (str, dict)) else None
    except (ValueError, TypeError):  # a loss for each output by name, or one that Keras has dropped
        return None, None
    for name, kind in LOSSES.items():
        if type(found) is kind:
            return name, dict(found.get_config())
        if getattr(found, "__name__", None) == name:
            return name, None
    return None, None


def _compiled_metric(model: Any) -> spec.Metric:
    text = str((model.get_compile_config() or {}).get("metrics")).lower()
    return "mean_squared_error" if "mse" in text or "squared" in text else "mean_absolute_error"


def _ends_in_logits(model: Any) -> bool:
    """Whether the output is unbounded: looking back past what only reshapes, it comes from no softmax or sigmoid."""
    tensor = model.outputs[0]
    while True:
        operation, node_index, _ = tensor._keras_history
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[0]
            continue
        activation = getattr(getattr(operation, "activation", None), "__name__", type(operation).__name__.lower())
        before = operation._inbound_nodes[node_index].input_tensors
        if not (isinstance(operation, PASSING) or (activation == "linear" and not operation.weights)) or not before:
            return activation not in ("softmax", "sigmoid")
        tensor = before[0]
