"""Tables: ``.csv`` and ``.parquet``, a row a sample, a column a feature, one column the label. Read in pieces."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from engine.arrays import Array
from engine.data.formats import parquet
from engine.data.formats.cells import header_of, numbers, text
from engine.data.formats.pool import SPLITS, divide
from engine.data.formats.writing import SamplesWriter
from engine.data.labels import as_declared, encode_labels, label_kind
from engine.data.split import Contents
from secateur.errors import ColumnMissing, FieldError, TableUnusable
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.reading import Reading

BLOCK_BYTES: Final = 16 << 20
"""Of a csv that is parsed at a time; a row must fit."""

Piece = Mapping[str, pa.Array]


@dataclass(frozen=True)
class Columns:
    """Which column is what."""

    inputs: Mapping[str, tuple[str, ...]]
    """Features by input; of all of them together, where there is one, under an empty name."""
    label: str
    split: str | None

    @property
    def features(self) -> tuple[str, ...]:
        """All features once."""
        return tuple(dict.fromkeys(name for listed in self.inputs.values() for name in listed))

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that are read."""
        beside = (self.label,) if self.split is None else (self.label, self.split)
        return tuple(dict.fromkeys((*self.features, *beside)))


def read_csv(path: Path, reading: Reading) -> Contents:
    """The splits of a csv in UTF-8, with a header, cells separated by commas.

    Raises:
        ColumnMissing, TableUnusable, DatasetNotFinite, DatasetLabelsInvalid, DatasetSplitEmpty: what is wrong, where.
    """
    names = header_of(path)
    return _contents("csv", _csv_pieces(path, names), _columns(names, reading), reading)


def read_parquet(path: Path, reading: Reading) -> Contents:
    """The splits of a parquet file of plain columns.

    Raises:
        as ``read_csv``. UploadTooCostly: by its footer it becomes far more than it holds.
    """
    try:
        with parquet.opened(path) as file:
            names = parquet.names_of(file)
            columns = _columns(names, reading)
            used = columns.used
            parquet.check_cost(file, used, file_bytes=path.stat().st_size)
            return _contents("parquet", parquet.pieces(file, used, file_bytes=path.stat().st_size), columns, reading)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        raise TableUnusable(
            f"The parquet file is damaged: {_short(fault)}.",
            suggestions=['Write it again: pandas.DataFrame.to_parquet("data.parquet").'],
        ) from fault


def _csv_pieces(path: Path, names: list[str]) -> Iterator[Piece]:
    """The cells as text, so that what is no number can be shown where it stands."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        yield from (
            {name: batch[name] for name in names}
            for batch in pa.csv.open_csv(
                path,
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
                parse_options=pa.csv.ParseOptions(invalid_row_handler=note),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        if ragged:
            row = ragged[0]
            number = "A row" if row.number is None else f"Line {row.number}"
            raise TableUnusable(
                f"{number} has {row.actual_columns} cells, the header {row.expected_columns}: {row.text[:80]!r}.",
                suggestions=["Every row needs a cell for each column; cells that hold commas must be quoted."],
            ) from fault
        raise TableUnusable(
            f"The csv cannot be read: {_short(fault)}.",
            suggestions=['Write it again: pandas.DataFrame.to_csv("data.csv", index=False), in UTF-8.'],
        ) from fault


def _short(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:300].rstrip(".")


def _contents(format: DatasetFormat, pieces: Iterator[Piece], columns: Columns, reading: Reading) -> Contents:
    labels: list[pa.Array] = []
    splits: list[Array] = []
    row = 0
    features = columns.features
    with SamplesWriter() as writer:
        for piece in pieces:
            samples = {name: numbers(piece[name], column=name, first_row=row) for name in features}
            writer.append(
                {
                    name: np.stack([samples[column] for column in listed], axis=1).astype(np.float32)
                    for name, listed in columns.inputs.items()
                }
            )
            labels.append(_plain(piece[columns.label]))
            if columns.split is not None:
                splits.append(_splits(piece[columns.split], column=columns.split, first_row=row))
            row += len(samples[features[0]])
        if row == 0:
            raise TableUnusable("The table has a header and no rows.", suggestions=["Check how it was written."])
        x = writer.finish()
    raw = _labels(pa.chunked_array(labels).combine_chunks(), reading)
    y, classes = as_declared(raw, reading, where=lambda at: f"The label in row {at + 1}, column {reading.label!r},")
    kind = label_kind([y], reading.labels)
    found = divide(x, encode_labels(y, kind), splits=np.concatenate(splits) if splits else None, reading=reading)
    return Contents(format, found, kind, "text" if raw.dtype.kind == "U" else str(raw.dtype), classes)


def _columns(names: list[str], reading: Reading) -> Columns:
    for field, name in (("label", reading.label), ("split", reading.split)):
        if name is not None and name not in names:
            near = get_close_matches(name, names, n=3) or names[:20]
            raise ColumnMissing(
                f"There is no column {name!r} for the {field}; there are {', '.join(map(repr, names[:20]))}.",
                errors=[FieldError(field=field, messages=(f"no column {name!r}",))],
                suggestions=[f"Declare {field}={candidate}." for candidate in near[:3]],
            )
    features = tuple(name for name in names if name not in (reading.label, reading.split))
    if reading.inputs:
        return Columns(_of_inputs(features, reading), reading.label, reading.split)
    if not features or reading.label == reading.split:
        raise ColumnMissing(
            "No column is left for samples beside that of the label and that of the split.",
            suggestions=["Every column that is neither label nor split is a feature; add one at least."],
        )
    return Columns({"": features}, reading.label, reading.split)


def _of_inputs(features: tuple[str, ...], reading: Reading) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, listed in reading.inputs.items():
        found[name] = (listed,) if isinstance(listed, str) else tuple(listed)
        for column in found[name]:
            if column not in features:
                near = get_close_matches(column, features, n=3) or features[:20]
                raise ColumnMissing(
                    f"The input {name!r} is to read the column {column!r}, which is none of the features "
                    f"{', '.join(map(repr, features[:20]))}.",
                    errors=[FieldError(field=f"inputs.{name}", messages=(f"no feature {column!r}",))],
                    suggestions=[f"Declare {candidate!r} in its place." for candidate in near[:3]],
                )
    return found


def _plain(labels: pa.Array) -> pa.Array:
    """Labels of a dictionary by their values, so that pieces go together."""
    return labels.dictionary_decode() if isinstance(labels, pa.DictionaryArray) else labels


def _labels(labels: pa.Array, reading: Reading) -> Array:
    """Labels as whole numbers if all are, else as numbers if all are, else as text."""
    column = reading.label
    if not pa.types.is_string(labels.type) and not pa.types.is_large_string(labels.type):
        found = numbers(labels, column=column, first_row=0)
        return found.astype(np.int64) if pa.types.is_integer(labels.type) or pa.types.is_boolean(labels.type) else found
    words = text(labels, column=column, first_row=0)
    for type in (pa.int64(), pa.float64()):
        try:
            cast = pc.cast(words, type)
        except pa.ArrowInvalid:
            continue
        return cast.to_numpy(zero_copy_only=False) if type == pa.int64() else numbers(cast, column=column, first_row=0)
    return np.asarray(words.to_pylist(), dtype=np.str_)


def _splits(cells: pa.Array, *, column: str, first_row: int) -> Array:
    names = text(_plain(cells), column=column, first_row=first_row).to_pylist()
    for place, name in enumerate(names):
        if name.lower() not in SPLITS:
            raise TableUnusable(
                f"Row {first_row + place + 1}, column {column!r} holds {name[:40]!r}; a split was expected.",
                errors=[FieldError(field="split", messages=(f"{name[:40]!r} in column {column!r}",))],
                suggestions=["Write train, val or test."],
            )
    return np.array([SPLITS[name.lower()] for name in names])
