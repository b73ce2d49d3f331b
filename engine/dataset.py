"""Data sets: read an ``.npz`` without trusting it, tell what it holds, and split it. NumPy only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.arrays import Array
from jobspec.errors import ArchiveUnreadable, DatasetLabelsInvalid, DatasetNotFinite
from jobspec.spec import Scale
from jobspec.summaries import DatasetSummary, LabelKind, SplitInfo
from screening import screen

PIECE = 4096
"""Samples looked at in one go, so that checking a large array needs little memory beside it."""


@dataclass(frozen=True)
class Split:
    """Samples as stored, and labels: classes of shape (n,) as int64, anything else as float32."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Array) -> "Split":
        return Split(self.x[indices], self.y[indices])


@dataclass(frozen=True)
class Dataset:
    """The three splits. ``validation`` is never trained on; ``test`` is only for the report."""

    train: Split
    validation: Split
    test: Split
    label_kind: LabelKind
    held_out: bool
    """Whether ``validation`` was taken from the training split."""


def read_arrays(path: Path) -> Mapping[str, Array]:
    """The arrays of an ``.npz``, screened, with values checked.

    Raises:
        UploadRefused: one of its kinds, for whatever is wrong with the file, an array or a label.
    """
    with path.open("rb") as file:
        screen("dataset", path.name, file, inflate=True)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name[:2] in ("x_", "y_")}
    except Exception as fault:  # numpy and zlib raise many kinds for a damaged file
        raise ArchiveUnreadable(
            f"NumPy cannot read the file: {fault}", suggestions=["Write it again with numpy.savez_compressed."]
        ) from fault
    for name, array in arrays.items():
        _check_finite(name, array)
    return arrays


def _check_finite(name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), PIECE):
        piece = array[start : start + PIECE]
        bad = np.argwhere(~(np.abs(piece) <= np.finfo(np.float32).max))  # what float32 cannot hold becomes infinite
        if len(bad):
            row = start + int(bad[0][0])
            raise DatasetNotFinite(
                f"{name} holds {piece[tuple(bad[0])]} in sample {row}.",
                suggestions=["Remove or repair such samples: every value must be a finite float32."],
            )


def summarise(arrays: Mapping[str, Array], *, scale: Scale) -> DatasetSummary:
    """What the arrays hold.

    Raises:
        DatasetLabelsInvalid: labels that are neither classes, nor one-hot rows, nor numbers to regress.
    """
    kind = label_kind([array for name, array in arrays.items() if name.startswith("y_")])
    x, y = arrays["x_train"], encode_labels(arrays["y_train"], kind)
    labels = [encode_labels(arrays[name], kind) for name in arrays if name.startswith("y_")]
    names = {"train": "x_train", "validation": "x_val", "test": "x_test"}
    samples = [arrays[name] for name in names.values() if name in arrays]
    return DatasetSummary(
        splits={split: SplitInfo(num_samples=len(arrays[name])) for split, name in names.items() if name in arrays},
        sample_shape=x.shape[1:],
        sample_dtype=str(x.dtype),
        sample_min=float(min(array.min() for array in samples)),
        sample_max=float(max(array.max() for array in samples)),
        label_shape=y.shape[1:],
        label_dtype=str(arrays["y_train"].dtype),
        label_kind=kind,
        num_classes=_num_classes(kind, labels),
        scale=scale,
    )


def _num_classes(kind: LabelKind, labels: list[Array]) -> int | None:
    match kind:
        case "classes":
            return 1 + max(int(y.max()) for y in labels)
        case "one_hot":
            return int(labels[0].shape[1])
        case "values":
            return None


def label_kind(labels: list[Array]) -> LabelKind:
    """What labels are: whole numbers in one column are classes, rows with a single one are one-hot, else values.

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
    if all(y.ndim == 2 and y.shape[1] > 1 and _is_one_hot(y) for y in labels):
        return "one_hot"
    return "values"


def _columns(y: Array) -> int:
    return math.prod(y.shape[1:])


def _is_one_hot(y: Array) -> bool:
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def encode_labels(y: Array, kind: LabelKind) -> Array:
    """Labels in the one form that the engine uses for their kind."""
    return y.reshape(len(y)).astype(np.int64) if kind == "classes" else y.reshape(len(y), -1).astype(np.float32)


def split(arrays: Mapping[str, Array], *, validation_share: float, seed: int) -> Dataset:
    """The splits of a data set; without ``x_val`` a seeded share of the training split is held out of training."""
    kind = label_kind([array for name, array in arrays.items() if name.startswith("y_")])
    train = Split(arrays["x_train"], encode_labels(arrays["y_train"], kind))
    test = Split(arrays["x_test"], encode_labels(arrays["y_test"], kind))
    if "x_val" in arrays:
        validation = Split(arrays["x_val"], encode_labels(arrays["y_val"], kind))
        return Dataset(train, validation, test, kind, held_out=False)
    order = np.random.default_rng(seed).permutation(len(train))
    count = min(len(train) - 1, max(1, round(len(train) * validation_share)))
    if count == 0:  # a single sample cannot be split: it has to serve as both
        return Dataset(train, train, test, kind, held_out=True)
    return Dataset(train.take(np.sort(order[count:])), train.take(np.sort(order[:count])), test, kind, held_out=True)
