"""What training minimises and what the report measures: given, or from the compile config, or inferred.

Labels are encoded to fit the loss, so that integer classes work with a model that was trained on one-hot rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import keras
import numpy as np

from engine.arrays import Array
from engine.objectives import agreement, metrics, positions
from engine.objectives.compiled import LOSSES, compiled_for, compiled_loss, ends_in
from engine.parts import Outputs, Parts, output_names
from secateur.errors import ObjectiveUnknown
from secateur.reports.report import Interval
from secateur.reports.summaries import LabelKind
from secateur.specs import spec
from secateur.specs.metrics import METRICS, Metric, higher_is_better
from secateur.validation.objective import CROSS_ENTROPY, check_objective, labels_of

Task = Literal["multiclass", "binary", "multi_label", "regression"]


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
    shape: tuple[int, ...] = ()
    """Of the output for one sample where it has positions, such as pixels or time steps, before its units."""

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
        """Labels in the form that the loss takes: (n,) classes, or (n, units) rows; at positions, of their shape."""
        if self.shape:
            return self._encode_positions(labels)
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
            case "multiclass" if self.shape:
                return np.asarray(outputs.reshape(len(outputs), -1, self.num_units).argmax(axis=2))
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
        if self.task != "multiclass" or not self.from_logits or self.shape:
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
            case "multiclass" if self.shape:
                return self._classes_of_positions(labels)
            case "multiclass":
                return labels.argmax(axis=1) if labels.ndim == 2 else labels
            case "binary":
                return labels.reshape(len(labels)).astype(np.int64)
            case "multi_label":
                return labels.reshape(len(labels), -1).astype(np.int64)
            case "regression":
                return labels.reshape(len(labels), -1)

    def skill(self, truths: Array, decided: Array) -> float:
        """How much better than guessing decisions are, see ``agreement.skill``; of positions all together."""
        if self.shape and decided.dtype.kind != "f":
            return agreement.skill(truths.ravel(), decided.ravel())
        return agreement.skill(truths, decided)

    def _classes_of_positions(self, labels: Array) -> Array:
        """Classes, shape (n, positions), from classes or from rows of zeros and ones."""
        flat = labels.reshape(len(labels), -1)
        if flat.shape[1] == math.prod(self.shape[:-1]):
            return flat.astype(np.int64)
        return np.asarray(flat.reshape(len(labels), -1, self.num_units).argmax(axis=2))

    def _encode_positions(self, labels: Array) -> Array:
        if self.task != "multiclass":
            return labels.reshape(len(labels), *self.shape).astype(np.float32)
        classes = self._classes_of_positions(labels).reshape(len(labels), *self.shape[:-1])
        if self.loss_name == "sparse_categorical_crossentropy":
            return classes
        return np.eye(self.num_units, dtype=np.float32)[classes]

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
    labels: Array | None = None,
) -> Objective:
    """The objective for one output of a model and labels of one kind.

    Args:
        place: of the output.
        field: where what is wanted stands in the spec.
        labels: some labels as stored, shape (n, ...); needed for outputs with positions.

    Raises:
        ObjectiveUnknown: the shape of the output is not known.
        LabelsMismatch: the loss or metric that was asked for does not go with the labels.
    """
    output, shape = output_names(model)[place], tuple(model.outputs[place].shape)
    stored_name, stored = compiled_loss(model, place)
    task: Task
    inner: tuple[int, ...] = ()
    if len(shape) > 2 and labels is not None:
        inner = positions.output_shape(output, shape, labels.shape[1:])
        binary = bool(np.isin(labels, (0, 1)).all())
        asked = wanted.loss or stored_name
        ending = ends_in(model, place)
        dense = positions.task_of(output, inner, labels.shape[1:], binary=binary, loss=asked, ending=ending)
        task, metric = dense, positions.metric_of(dense, wanted.metric, inner, field=field)
        label_kind = KINDS[task]
        units = inner[-1]
    elif len(shape) != 2 or shape[-1] is None:
        raise ObjectiveUnknown(
            f"The output {output!r} has shape {shape}; one row of units a sample, (batch, units), or the same for each "
            "position is what we can score.",
            suggestions=["End the model with Flatten or a pooling layer and Dense."],
        )
    else:
        units = int(shape[-1])
        check_objective(wanted, label_kind, num_units=units, field=field)
        task = _task(label_kind, units)
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
    return Objective(task, name, loss, metric, bool(from_logits), units, source, inner)


KINDS: Final[Mapping[Task, LabelKind]] = {
    "multiclass": "classes",
    "multi_label": "multi_label",
    "regression": "values",
}
"""What labels at positions are, by task."""

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


def _usual_metric(model: Any, task: Task, place: int) -> Metric:
    """Of classes accuracy; of labels F1, which rare ones cannot flatter; of values what the compile config names."""
    if task != "regression":
        return "f1" if task == "multi_label" else METRICS["classes"][0]
    text = str(compiled_for(model, "metrics", place)).lower()
    return "mean_squared_error" if "mse" in text or "squared" in text else "mean_absolute_error"
