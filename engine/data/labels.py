"""Labels: what they are, and the one form that the engine uses for each kind."""

import math
from collections.abc import Sequence

import numpy as np

from engine.arrays import Array
from jobspec.errors import DatasetLabelsInvalid
from jobspec.summaries import LabelKind


def label_kind(labels: Sequence[Array]) -> LabelKind:
    """What labels are: whole numbers in one column are classes, rows with a single one are one-hot, other rows
    of zeros and ones any of several labels, and all else values.

    Raises:
        DatasetLabelsInvalid: a negative class, or one column of floats in one array and of whole numbers in another.
    """
    if all(y.dtype.kind in "iub" for y in labels) and all(_columns(y) == 1 for y in labels):
        lowest = min(int(y.min()) for y in labels)
        if lowest < 0:
            raise DatasetLabelsInvalid(
                f"A label is {lowest}; classes are whole numbers from 0.",
                suggestions=["Renumber the classes 0, 1, 2, ...; use float labels for regression."],
            )
        return "classes"
    if len({(y.dtype.kind in "iub", _columns(y)) for y in labels}) > 1:
        found = ", ".join(sorted({f"{y.dtype} with {_columns(y)} columns" for y in labels}))
        raise DatasetLabelsInvalid(
            f"The label arrays disagree: {found}.", suggestions=["Give y_train, y_val and y_test one type and shape."]
        )
    if all(y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() for y in labels):
        return "one_hot" if all((y.sum(axis=1) == 1).all() for y in labels) else "multi_label"
    return "values"


def _columns(y: Array) -> int:
    return math.prod(y.shape[1:])


def encode_labels(y: Array, kind: LabelKind) -> Array:
    """Labels in the one form that the engine uses for their kind."""
    return y.reshape(len(y)).astype(np.int64) if kind == "classes" else y.reshape(len(y), -1).astype(np.float32)
