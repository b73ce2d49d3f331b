"""Do loss and metric fit the labels? Asked by the gateway of summaries, and by the engine of the loaded model."""

from typing import Final

from secateur.errors import FieldError, LabelsMismatch
from secateur.reports.summaries import LabelKind
from secateur.specs.metrics import METRICS, Labels
from secateur.specs.spec import Loss, Objective, OutputObjective

CROSS_ENTROPY: Final = frozenset({"sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"})

WORDS: Final[dict[Labels, str]] = {
    "classes": "classes",
    "multi_label": "several labels of zero or one each",
    "values": "values to regress",
}

HINTS: Final[dict[Labels, str]] = {
    "classes": "If the labels are values to regress, store them as floats.",
    "multi_label": "If each sample has one class, store classes as whole numbers in one column.",
    "values": "If the labels are classes, store them as whole numbers in y_train.",
}


def labels_of(kind: LabelKind) -> Labels:
    """What labels are, however they are stored.

    >>> labels_of("one_hot"), labels_of("values")
    ('classes', 'values')
    """
    return "classes" if kind == "one_hot" else kind


def check_objective(
    wanted: Objective | OutputObjective, kind: LabelKind, *, num_units: int | None, field: str = "objective"
) -> None:
    """Hold loss and metric against the labels.

    Args:
        field: where they stand in the spec.
        num_units: of the model's output, when it is known.

    Raises:
        LabelsMismatch: naming the field, with those that fit.
    """
    labels = labels_of(kind)
    if wanted.loss is not None and wanted.loss not in fitting_losses(labels):
        raise _mismatch(f"{field}.loss", wanted.loss, labels, fitting_losses(labels))
    if wanted.metric is not None and wanted.metric not in METRICS[labels]:
        raise _mismatch(f"{field}.metric", wanted.metric, labels, METRICS[labels])
    if wanted.metric == "top_5_accuracy" and num_units is not None and num_units <= 5:
        raise LabelsMismatch(
            f"Of {max(num_units, 2)} classes the right one is always among the first five.",
            errors=[FieldError(field=f"{field}.metric", messages=("needs more than five classes",))],
            suggestions=["Choose accuracy."],
        )


def fitting_losses(labels: Labels) -> tuple[Loss, ...]:
    """The losses that can be computed on such labels."""
    errors: tuple[Loss, ...] = ("mean_squared_error", "mean_absolute_error")
    match labels:
        case "values":
            return errors
        case "multi_label":
            return ("binary_crossentropy", *errors)
        case "classes":
            return ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", *errors)


def _mismatch(field: str, given: str, labels: Labels, fitting: tuple[str, ...]) -> LabelsMismatch:
    return LabelsMismatch(
        f"The labels are {WORDS[labels]}; {given} does not fit them.",
        errors=[FieldError(field=field, messages=(f"does not fit {WORDS[labels]}",))],
        suggestions=[f"Choose {', '.join(fitting[:-1])} or {fitting[-1]}.", HINTS[labels]],
    )
