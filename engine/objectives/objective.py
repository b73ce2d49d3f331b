"""What training minimises and what the report measures: given, or from the compile config, or inferred.

Labels are encoded to fit the loss, so that integer classes work with a model that was trained on one-hot rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import keras
import numpy as np

from engine.arrays import Array
from engine.objectives import agreement, metrics
from engine.parts import Outputs, Parts, output_names
from secateur.errors import ObjectiveUnknown
from secateur.reports.report import Interval
from secateur.reports.summaries import LabelKind
from secateur.specs import spec
from secateur.specs.metrics import METRICS, Metric, higher_is_better
from secateur.validation.objective import CROSS_ENTROPY, check_objective, labels_of

Task = Literal["multiclass", "binary", "multi_label", "regression"]

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
    metric: Metric
    from_logits: bool
    num_units: int
    source: str
    """Where the loss came from, in words for the report."""

    @property
    def head(self) -> "Objective":
        """That of the output whose metric counts: this one."""
        return self

    @property
    def all(self) -> "tuple[Objective, ...]":
        """Of every output."""
        return (self,)

    def of(self, values: Outputs) -> Array:
        """Of labels, or of what a model said, the part that is judged: all."""
        assert not isinstance(values, Parts)
        return values

    @property
    def higher_is_better(self) -> bool:
        return higher_is_better(self.metric)

    def encode(self, labels: Array) -> Array:
        """Labels in the form that the loss takes: (n,) classes, or (n, units) rows."""
        if labels.ndim == 1 and self.task == "binary":
            return labels.astype(np.float32)[:, None]
        if labels.ndim == 1 and self.loss_name != "sparse_categorical_crossentropy" and self.task == "multiclass":
            return np.eye(self.num_units, dtype=np.float32)[labels]
        if labels.ndim == 2 and self.loss_name == "sparse_categorical_crossentropy":
            return np.asarray(labels.argmax(axis=1))
        return labels

    def decided(self, outputs: Array) -> Array:
        """What outputs amount to: classes, shape (n,); labels as zeros and ones, or values, shape (n, units)."""
        flat = outputs.reshape(len(outputs), -1)
        match self.task:
            case "multiclass":
                return np.asarray(flat.argmax(axis=1))
            case "binary":
                return (flat[:, 0] > self._threshold).astype(np.int64)
            case "multi_label":
                return (flat > self._threshold).astype(np.int64)
            case "regression":
                return flat

    @property
    def _threshold(self) -> float:
        return 0.0 if self.from_logits else 0.5

    def measured(self, labels: Array, outputs: Array) -> Interval:
        """The metric of a model's outputs, with its 95 % interval."""
        return metrics.score(self.metric, self.truths(labels), self.decided(outputs), self._scores(outputs))

    def score(self, labels: Array, outputs: Array) -> float:
        """The metric of a model's outputs."""
        return metrics.value(self.metric, self.truths(labels), self.decided(outputs), self._scores(outputs))

    def _scores(self, outputs: Array) -> Array:
        """Outputs that can be compared between samples, shape (n, units): logits of classes only order each alone."""
        flat = outputs.reshape(len(outputs), -1)
        if self.task != "multiclass" or not self.from_logits:
            return flat
        powers = np.exp(flat - flat.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def score_to_maximize(self, labels: Array, outputs: Array) -> float:
        """The same, turned so that higher is better whatever the metric."""
        return self.score(labels, outputs) * (1.0 if self.higher_is_better else -1.0)

    def agreement(self, original: Array, outputs: Array) -> float:
        """How alike the outputs of two models decide."""
        return agreement.agreement(self.decided(original), self.decided(outputs))

    def truths(self, labels: Array) -> Array:
        """What labels say, in the form of ``decided``."""
        match self.task:
            case "multiclass":
                return labels.argmax(axis=1) if labels.ndim == 2 else labels
            case "binary":
                return labels.reshape(len(labels)).astype(np.int64)
            case "multi_label":
                return labels.reshape(len(labels), -1).astype(np.int64)
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

    def rightness(self, truths: Array, decided: Array) -> Array:
        """How good each decision is, shape (n,): the share that is right, or minus the squared error."""
        if self.task == "regression":
            return np.asarray(-((truths - decided).astype(np.float64) ** 2).mean(axis=1))
        return np.asarray((truths == decided).reshape(len(truths), -1).mean(axis=1))

    def keras_metric(self) -> Any | None:
        """The metric as Keras shows it during training, named ``metric``; None where it has not the same."""
        if self.metric == "mean_squared_error":
            return keras.metrics.MeanSquaredError(name="metric")
        if self.metric == "mean_absolute_error":
            return keras.metrics.MeanAbsoluteError(name="metric")
        if self.metric == "root_mean_squared_error":
            return keras.metrics.RootMeanSquaredError(name="metric")
        if self.metric == "label_accuracy" or (self.metric == "accuracy" and self.task == "binary"):
            return keras.metrics.BinaryAccuracy(name="metric", threshold=self._threshold)
        if self.metric != "accuracy":
            return None
        if self.loss_name == "sparse_categorical_crossentropy":
            return keras.metrics.SparseCategoricalAccuracy(name="metric")
        return keras.metrics.CategoricalAccuracy(name="metric")


def resolve(
    model: Any,
    label_kind: LabelKind,
    wanted: spec.Objective | spec.OutputObjective,
    *,
    place: int = 0,
    field: str = "objective",
) -> Objective:
    """The objective for one output of a model and labels of one kind.

    Args:
        place: of the output.
        field: where what is wanted stands in the spec.

    Raises:
        ObjectiveUnknown: the output is not one row of units a sample.
        LabelsMismatch: the loss or metric that was asked for does not go with the labels.
    """
    shape = model.outputs[place].shape
    if len(shape) != 2 or shape[-1] is None:
        raise ObjectiveUnknown(
            f"The output {output_names(model)[place]!r} has shape {tuple(shape)}; one row of units a sample, "
            "(batch, units), is what we can score.",
            suggestions=["End the model with Flatten or a pooling layer and Dense."],
        )
    units = int(shape[-1])
    check_objective(wanted, label_kind, num_units=units, field=field)
    task = _task(label_kind, units)
    stored_name, stored = _compiled_loss(model, place)
    metric = wanted.metric or _usual_metric(model, task, place)
    if wanted.loss is not None:
        name, source, stored = wanted.loss, "given", None
    elif stored_name is not None and stored_name not in CROSS_ENTROPY - FITTING.get(task, CROSS_ENTROPY):
        name, source = stored_name, "from the model's compile config"
    else:
        name, source, stored = _inferred(task, label_kind), "inferred from outputs and labels", None
    if name in ("sparse_categorical_crossentropy", "categorical_crossentropy") and units == 1:
        name, stored = "binary_crossentropy", None
    from_logits = False
    if name in CROSS_ENTROPY:
        from_logits = (
            stored.get("from_logits", False)
            if stored is not None
            else ends_in(model, place) not in ("softmax", "sigmoid")
        )
    options = {"from_logits": from_logits} if name in CROSS_ENTROPY else {}
    loss = LOSSES[name].from_config(stored) if stored is not None else LOSSES[name](**options)  # type: ignore[attr-defined]
    return Objective(task, name, loss, metric, bool(from_logits), units, source)


FITTING: Final[Mapping[Task, frozenset[str]]] = {
    "regression": frozenset(),
    "multi_label": frozenset({"binary_crossentropy"}),
}
"""The cross-entropies that a task can be trained with; any, unless it stands here."""


def _task(label_kind: LabelKind, units: int) -> Task:
    match labels_of(label_kind):
        case "values":
            return "regression"
        case "multi_label":
            return "multi_label"
        case "classes":
            return "binary" if units == 1 else "multiclass"


def _inferred(task: Task, label_kind: LabelKind) -> spec.Loss:
    if task == "regression":
        return "mean_squared_error"
    if task in ("binary", "multi_label"):
        return "binary_crossentropy"
    return "sparse_categorical_crossentropy" if label_kind == "classes" else "categorical_crossentropy"


def compiled_for(model: Any, key: str, place: int) -> Any:
    """What the compile config has under a key for one output: of lists by its place, of dicts by its name."""
    stored, names = (model.get_compile_config() or {}).get(key), output_names(model)
    if isinstance(stored, list | tuple) and len(stored) == len(names):
        return stored[place]
    if isinstance(stored, dict) and set(stored) & set(names):
        return stored.get(names[place])
    return stored if len(names) == 1 or not isinstance(stored, list | tuple) else None


def _compiled_loss(model: Any, place: int) -> tuple[spec.Loss | None, dict[str, Any] | None]:
    """Name and options of the loss that the model was compiled with, when it is one that we know."""
    stored = compiled_for(model, "loss", place)
    try:
        found: Any = keras.losses.get(stored) if isinstance(stored, (str, dict)) else None
    except (ValueError, TypeError):  # one that Keras has dropped
        return None, None
    for name, kind in LOSSES.items():
        if type(found) is kind:
            return name, dict(found.get_config())
        if getattr(found, "__name__", None) == name:
            return name, None
    return None, None


def _usual_metric(model: Any, task: Task, place: int) -> Metric:
    """Of classes accuracy; of labels F1, which rare ones cannot flatter; of values what the compile config names."""
    if task != "regression":
        return "f1" if task == "multi_label" else METRICS["classes"][0]
    text = str(compiled_for(model, "metrics", place)).lower()
    return "mean_squared_error" if "mse" in text or "squared" in text else "mean_absolute_error"


def ends_in(model: Any, place: int = 0) -> str:
    """The activation that an output comes from, such as softmax: looking back past what only reshapes."""
    tensor = model.outputs[place]
    while True:
        operation, node_index, tensor_index = tensor._keras_history
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[tensor_index]
            continue
        activation = getattr(getattr(operation, "activation", None), "__name__", type(operation).__name__.lower())
        before = operation._inbound_nodes[node_index].input_tensors
        if not (isinstance(operation, PASSING) or (activation == "linear" and not operation.weights)) or not before:
            return str(activation)
        tensor = before[0]
