"""``.npz``: arrays that NumPy wrote. One that is not packed is read where it lies in the archive."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.data.labels import as_declared, encode_labels, label_kind
from engine.data.rows import PIECE_BYTES, Rows, RowWriter, Stored, held, open_file, pieces, scratch_file
from engine.data.split import Contents, Split
from jobspec.errors import DatasetNotFinite
from jobspec.reading import Reading
from jobspec.summaries import SplitName
from screening.archive import Archive
from screening.npy import read_header

NAMES: Final[Mapping[SplitName, str]] = {"train": "train", "validation": "val", "test": "test"}
"""What each split is called at the end of an array's name."""


def read(path: Path, reading: Reading) -> Contents:
    """The splits of an ``.npz`` that was screened, with values checked.

    Raises:
        DatasetNotFinite, DatasetLabelsInvalid: what is wrong with a sample or a label.
    """
    with path.open("rb") as file, Archive(file) as archive:
        names = [f"{letter}_{name}" for name in NAMES.values() for letter in "xy"]
        stored = {name: _array(archive, f"{name}.npy", path) for name in names if f"{name}.npy" in archive.sizes}
    for name, array in stored.items():
        check_finite(name, array)
    given = {split: name for split, name in NAMES.items() if f"x_{name}" in stored}
    labels = {split: _labels(stored[f"y_{name}"][:], f"y_{name}", reading) for split, name in given.items()}
    kind = label_kind(list(labels.values()), reading.labels)
    splits = {split: Split(stored[f"x_{name}"], encode_labels(labels[split], kind)) for split, name in given.items()}
    return Contents("npz", splits, kind, str(stored["y_train"].dtype))


def _labels(y: Array, name: str, reading: Reading) -> Array:
    return as_declared(y, reading, where=lambda at: f"Label {at} of {name}")[0]


def _array(archive: Archive, member: str, path: Path) -> Stored:
    header = read_header(archive, member)
    offset = archive.offset_of(member)
    file = open_file(path) if offset is not None else scratch_file(archive.pieces(member))  # packed: unpack it once
    rows = Rows(file, (offset or 0) + header.start, header.shape, np.dtype(header.descr))
    return _from_columns(rows) if header.fortran_order and len(header.shape) > 1 else held(rows)


def _from_columns(given: Rows) -> Stored:
    """An array in Fortran's order, where one sample's numbers lie far apart, as rows: read crosswise, in pieces."""
    count, *shape = given.shape
    num_columns = int(np.prod(shape, dtype=np.int64))
    numbers = replace(given, stored=(count * num_columns,))
    size = max(1, PIECE_BYTES // (num_columns * given.dtype.itemsize))
    with RowWriter(shape, given.dtype) as writer:
        for start in range(0, count, size):
            stop = min(count, start + size)
            crosswise = np.stack([numbers[at * count + start : at * count + stop] for at in range(num_columns)])
            writer.append(crosswise.T.reshape(stop - start, *shape, order="F"))
        return writer.finish()


def check_finite(name: str, stored: Stored) -> None:
    """Every value is a number that float32 can hold; others would become infinite.

    Raises:
        DatasetNotFinite: naming the array and the sample.
    """
    if stored.dtype.kind != "f":
        return
    for start, piece in pieces(stored):
        bad = first_unusable(piece)
        if bad is not None:
            raise DatasetNotFinite(
                f"{name} holds {piece[bad]} in sample {start + bad[0]}.",
                suggestions=["Remove or repair such samples: every value must be a finite float32."],
            )


def first_unusable(piece: Array) -> tuple[int, ...] | None:
    """Where the first value lies that is no finite float32.

    >>> first_unusable(np.array([[1.0, 2.0], [3.0, np.nan]])), first_unusable(np.array([1e30]))
    ((1, 1), None)
    """
    fine = np.abs(piece) <= np.finfo(np.float32).max
    if fine.all():
        return None
    return tuple(int(place) for place in np.argwhere(~fine)[0])
