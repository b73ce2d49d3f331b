"""What a model with an output for each position is trained for: classes, labels or values of pixels or time steps."""

import math
from typing import Final, Literal

from secateur.errors import FieldError, LabelsMismatch, ObjectiveUnknown
from secateur.specs.metrics import Metric
from secateur.specs.spec import Loss
from secateur.validation.outputs import positions_mismatch

Task = Literal["multiclass", "multi_label", "regression"]

METRICS: Final[dict[Task, tuple[Metric, ...]]] = {
    "multiclass": ("accuracy", "mean_iou"),
    "multi_label": ("label_accuracy", "mean_iou"),
    "regression": ("mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2", "psnr"),
}
"""The metrics that are measured at positions; the first is the default for sequences."""

CATEGORICAL: Final = ("categorical_crossentropy", "sparse_categorical_crossentropy")


def output_shape(name: str, shape: tuple[int | None, ...], label_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an output for one sample, open axes filled in from the labels.

    Args:
        name: of the output.
        shape: of the output, batch axis first.
        label_shape: of the labels of one sample.

    Raises:
        ObjectiveUnknown: an axis is open, and the labels do not tell its size.
    """
    inner = shape[1:]
    if None not in inner:
        return tuple(int(size) for size in inner if size is not None)
    if inner[-1] is not None and len(label_shape) in (len(inner) - 1, len(inner)):
        return (*(size or label for size, label in zip(inner[:-1], label_shape, strict=False)), inner[-1])
    raise ObjectiveUnknown(
        f"The output {name!r} has shape {shape}, and labels of shape {label_shape} do not tell the size of its axes.",
        suggestions=["Give the model inputs of a fixed shape, or labels with one entry for each position."],
    )


def task_of(
    name: str, shape: tuple[int, ...], label_shape: tuple[int, ...], *, binary: bool, loss: Loss | None, ending: str
) -> Task:
    """What the labels of a sample mean for an output of shape (positions, ..., units).

    Args:
        name: of the output.
        shape: of the output for one sample.
        label_shape: of the labels of one sample.
        binary: whether all labels are 0 or 1.
        loss: what the user asked for, or the model was compiled with.
        ending: the activation of the output, such as softmax.

    Raises:
        LabelsMismatch: there is neither one label for each position nor one for each number of the output.
    """
    num_positions, units, size = math.prod(shape[:-1]), shape[-1], math.prod(label_shape)
    if size == num_positions and units > 1:
        return "multiclass"
    if size == num_positions * units:
        if units > 1 and binary and (ending == "softmax" or loss in CATEGORICAL):
            return "multiclass"
        return "multi_label" if binary and (ending == "sigmoid" or loss == "binary_crossentropy") else "regression"
    raise positions_mismatch(name, shape, label_shape)


def metric_of(task: Task, wanted: Metric | None, shape: tuple[int, ...], *, field: str) -> Metric:
    """The metric that was asked for, or the usual one: mean IoU for classes of pixels, accuracy for those of steps.

    Args:
        task: from ``task_of``.
        wanted: what the spec asks for.
        shape: of the output for one sample.
        field: where the objective stands in the spec.

    Raises:
        LabelsMismatch: the metric is not measured at positions.
    """
    fitting = METRICS[task]
    if wanted is None:
        return "mean_iou" if task != "regression" and len(shape) > 2 else fitting[0]
    if wanted not in fitting:
        raise LabelsMismatch(
            f"The output has a value for each position; {wanted} is not measured there.",
            errors=[FieldError(field=f"{field}.metric", messages=("is not measured at positions",))],
            suggestions=[f"Choose {', '.join(fitting)}."],
        )
    return wanted
