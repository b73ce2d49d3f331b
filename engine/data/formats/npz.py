"""``.npz``: arrays that NumPy wrote. One that is not packed is read where it lies in the archive."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.data.labels import as_declared, encode_labels, label_kind
from engine.data.rows import PIECE_BYTES, Rows, RowWriter, Samples, Stored, held, open_file, pieces, scratch_file
from engine.data.split import Contents, Split
from engine.parts import Parts
from screening.archive import Archive
from screening.datasets.npy import read_header
from screening.datasets.npz_names import ArrayName, parts_of, wanted
from secateur.errors import DatasetNotFinite
from secateur.reports.summaries import LabelKind, SplitName
from secateur.specs.reading import Reading

NAMES: Final[Mapping[SplitName, str]] = {"train": "train", "validation": "val", "test": "test"}
"""What each split is called at the end of an array's name."""


def read(path: Path, reading: Reading) -> Contents:
    """The splits of an ``.npz`` that was screened, with values checked.

    Raises:
        DatasetNotFinite, DatasetLabelsInvalid: what is wrong with a sample or a label.
    """
    with path.open("rb") as file, Archive(file) as archive:
        names = wanted([name.removesuffix(".npy") for name in archive.sizes])
        stored = {str(name): _array(archive, f"{name}.npy", path) for name in names}
    for name, array in stored.items():
        check_finite(name, array)
    inputs, outputs = (parts_of(letter, stored) for letter in "xy")
    given = {split: name for split, name in NAMES.items() if any(each.split == name for each in names)}
    samples = {split: _side_by_side(stored, "x", name, inputs) for split, name in given.items()}
    labels, kinds = dict[str, dict[SplitName, Array]](), dict[str, LabelKind]()
    for output in outputs:
        raw = {split: str(ArrayName("y", name, output)) for split, name in given.items()}
        ys = {split: _labels(stored[name][:], name, reading) for split, name in raw.items()}
        kinds[output] = label_kind(list(ys.values()), reading.labels)
        labels[output] = {split: encode_labels(y, kinds[output]) for split, y in ys.items()}
    splits = {
        split: Split(samples[split], labels[""][split] if "" in labels else _of_split(labels, split)) for split in given
    }
    dtypes = {output: str(stored[str(ArrayName("y", "train", output))].dtype) for output in outputs}
    named = {} if "" in labels else {"label_kinds": kinds, "label_dtypes": dtypes}
    return Contents("npz", splits, kinds[outputs[0]], dtypes[outputs[0]], **named)  # type: ignore[arg-type]


def _of_split(labels: Mapping[str, Mapping[SplitName, Array]], split: SplitName) -> Parts[Array]:
    return Parts(tuple(labels), tuple(of_output[split] for of_output in labels.values()))


def _side_by_side(stored: Mapping[str, Stored], letter: str, split: str, parts: tuple[str, ...]) -> Samples:
    arrays = tuple(stored[str(ArrayName(letter, split, part))] for part in parts)
    return arrays[0] if parts == ("",) else Parts(parts, arrays)


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
