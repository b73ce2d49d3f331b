"""Labels: what they are, and the one form that the engine uses for each kind."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np

from engine.arrays import Array
from secateur.errors import DatasetLabelsInvalid
from secateur.reports.summaries import LabelKind, SplitName
from secateur.specs.reading import Reading

MOST_CLASSES: Final = 10_000_000

SHOWN: Final = 10
"""Classes named in an error."""


def label_kind(labels: Sequence[Array], declared: Literal["classes", "values"] | None = None) -> LabelKind:
    """What labels are: whole numbers in one column are classes, rows with a single one are one-hot, other rows
    of zeros and ones any of several labels, and all else values.

    Raises:
        DatasetLabelsInvalid: one column of floats in one array and of whole numbers in another.
    """
    if declared == "values":
        return "values"
    if all(y.dtype.kind in "iub" for y in labels) and all(_columns(y) == 1 for y in labels):
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
    """Labels in the one form that the engine uses for their kind; those of positions keep their shape."""
    if kind == "classes":
        return y.reshape(len(y)).astype(np.int64)
    return (y if y.ndim > 2 else y.reshape(len(y), -1)).astype(np.float32)


def as_declared(y: Array, reading: Reading, *, where: Callable[[int], str]) -> tuple[Array, tuple[str, ...]]:
    """Labels as numbers, whole ones for classes, with the names of the classes when they have some.

    Args:
        y: numbers, or text of shape (n,).
        where: names the label of a sample.

    Raises:
        DatasetLabelsInvalid: text where values are declared, a class that is not declared, a fraction for a class, or
            a number that counts none.
    """
    if y.dtype.kind == "U" and reading.labels == "values":
        raise DatasetLabelsInvalid(
            f"{where(0)} is {_shown(y[0])}; labels are declared to be values.",
            suggestions=["Leave labels out: text names classes."],
        )
    if reading.labels == "values":
        return y.astype(np.float32), ()
    if reading.labels == "classes" and y.dtype.kind == "f":
        y = _whole(y, where)
    if y.dtype.kind == "U" or (reading.classes and y.dtype.kind in "iub" and _columns(y) == 1):
        return _numbered(y.reshape(len(y)).astype(str), reading.classes, where)
    if y.dtype.kind in "iu" and _columns(y) == 1:
        _check_counted(y.reshape(len(y)), where)
    return y, ()


def _check_counted(y: Array, where: Callable[[int], str]) -> None:
    bad = np.flatnonzero((y < 0) | (y > MOST_CLASSES))
    if len(bad):
        raise DatasetLabelsInvalid(
            f"{where(int(bad[0]))} is {y[bad[0]]}; classes are whole numbers from 0 to {MOST_CLASSES}.",
            suggestions=["Renumber the classes 0, 1, 2, ...; use float labels for regression."],
        )


def _whole(y: Array, where: Callable[[int], str]) -> Array:
    bad = np.flatnonzero((y != np.floor(y)).reshape(len(y), -1).any(axis=1))
    if len(bad):
        raise DatasetLabelsInvalid(
            f"{where(int(bad[0]))} is {y[bad[0]]}; labels are declared to be classes, which are whole numbers or text.",
            suggestions=['Leave labels out, or declare "values", for regression.'],
        )
    return y.astype(np.int64)


def _numbered(y: Array, declared: tuple[str, ...], where: Callable[[int], str]) -> tuple[Array, tuple[str, ...]]:
    found, places = np.unique(y, return_inverse=True)
    names = declared or tuple(map(str, found))
    order = {name: number for number, name in enumerate(names)}
    strange = [str(name) for name in found if str(name) not in order]
    if strange:
        row = int(np.flatnonzero(y == strange[0])[0])
        raise DatasetLabelsInvalid(
            f"{where(row)} is {_shown(strange[0])}, which is none of the declared classes {_list(names)}.",
            suggestions=[f"Declare classes={','.join([*names, *strange][:SHOWN])}, or leave classes out."],
        )
    return np.array([order[str(name)] for name in found], np.int64)[places], names


def check_classes(labels: Mapping[SplitName, Array], kind: LabelKind, names: tuple[str, ...]) -> None:
    """There are two classes at least, and whatever can be asked for was there to learn from.

    Args:
        labels: encoded.

    Raises:
        DatasetLabelsInvalid: naming the classes.
    """
    if kind in ("values", "multi_label"):
        return
    present = {split: set(map(int, np.unique(y if y.ndim == 1 else y.argmax(axis=1)))) for split, y in labels.items()}
    everywhere = set().union(*present.values()) | set(range(len(names)))
    if len(everywhere) == 1:
        raise DatasetLabelsInvalid(
            f"Every sample has the class {_names(everywhere, names)}; telling classes apart takes two.",
            suggestions=["Check how labels were made; for regression store them as floats, or declare labels=values."],
        )
    missing = everywhere - present["train"]
    if missing:
        raise DatasetLabelsInvalid(
            f"The training split has no sample of {_names(missing, names)}.",
            suggestions=["Divide the samples so that the training split has all classes, or leave those out."],
        )


def _names(numbers: set[int], names: tuple[str, ...]) -> str:
    return _list([names[number] if number < len(names) else str(number) for number in sorted(numbers)])


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_shown, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _shown(text: str) -> str:
    return repr(str(text)[:40])
