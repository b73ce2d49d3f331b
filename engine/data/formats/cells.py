"""Cells of a table as numbers or text; what is neither is told by column and row. Rows count from 1, without header."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.arrays import Array
from secateur.errors import DatasetNotFinite, FieldError, TableUnusable

MAX_LINE_BYTES: Final = 1 << 20
"""Of a header."""

_FILL: Final = "Fill or drop empty cells first: pandas.DataFrame.dropna(), or fillna(0)."


def header_of(path: Path) -> list[str]:
    """The column names of a csv.

    Raises:
        TableUnusable: no header that names every column once.
    """
    with path.open("rb") as file:
        line = file.readline(MAX_LINE_BYTES)
    try:
        names = next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as fault:
        raise TableUnusable(
            f"The header cannot be read as csv in UTF-8: {fault}.", suggestions=["Save the file as UTF-8."]
        ) from fault
    told = _wrong_header(names)
    if told is not None:
        raise TableUnusable(told, suggestions=["Begin the file with a line of column names, separated by commas."])
    return names


def _wrong_header(names: list[str]) -> str | None:
    if not any(names):
        return "The file begins with an empty line; a header was expected."
    twice = first_repeated(names)
    if twice is not None:
        return f"Two columns are named {twice[:80]!r}."
    if all(map(_is_number, names)):
        return f"The first line holds numbers ({', '.join(names[:5])}); a header was expected."
    separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    return None if separator is None else f"The cells are separated by {separator!r}, not by commas."


def first_repeated(names: Sequence[str]) -> str | None:
    """The first name that comes again, if one does.

    >>> first_repeated(["a", "b", "a"])
    'a'
    """
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def numbers(cells: pa.Array, *, column: str, first_row: int) -> Array:
    """Cells as float64, shape (n,): numbers that float32 can hold.

    Raises:
        TableUnusable: an empty cell, or one that holds no number. DatasetNotFinite: NaN, infinity or one too large.
    """
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        cells = _parsed(text(cells, column=column, first_row=first_row), column, first_row)
    elif not _is_numeric(cells.type):
        raise TableUnusable(
            f"Column {column!r} is of type {cells.type}; features must be numbers.",
            errors=[FieldError(field=column, messages=(f"of type {cells.type}",))],
            suggestions=[f"Drop column {column!r}, or turn it into numbers (one-hot, or an index)."],
        )
    _refuse_empty(cells.is_null(), column, first_row)
    values = np.asarray(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False))
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(bad):
        raise DatasetNotFinite(
            f"Row {first_row + int(bad[0]) + 1}, column {column!r} holds {values[bad[0]]}.",
            errors=[FieldError(field=column, messages=("not a finite float32",))],
            suggestions=[_FILL],
        )
    return values


def text(cells: pa.Array, *, column: str, first_row: int) -> pa.Array:
    """Cells as text without blanks around it.

    Raises:
        TableUnusable: an empty cell.
    """
    try:
        trimmed = pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
    except pa.ArrowException as fault:
        raise TableUnusable(
            f"Column {column!r} of type {cells.type} holds no text.", suggestions=["Store it as text or whole numbers."]
        ) from fault
    _refuse_empty(pc.fill_null(pc.equal(trimmed, ""), True), column, first_row)
    return trimmed


def _parsed(cells: pa.Array, column: str, first_row: int) -> pa.Array:
    try:
        return pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        pass
    for place, cell in enumerate(cells.to_pylist()):
        try:
            pc.cast(pa.scalar(cell), pa.float64())
        except pa.ArrowInvalid as fault:
            raise TableUnusable(
                f"Row {first_row + place + 1}, column {column!r} holds {cell[:40]!r}; a number was expected.",
                errors=[FieldError(field=column, messages=(f"{cell[:40]!r} is no number",))],
                suggestions=[
                    f"Drop column {column!r}, or turn it into numbers (one-hot, or an index).",
                    f"If it holds the labels, declare label={column}.",
                ],
            ) from fault
    raise AssertionError("one of the cells cannot be cast")


def _is_numeric(type: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type)
        or pa.types.is_floating(type)
        or pa.types.is_boolean(type)
        or pa.types.is_decimal(type)
    )


def _refuse_empty(empty: pa.Array, column: str, first_row: int) -> None:
    places = np.flatnonzero(np.asarray(empty.to_numpy(zero_copy_only=False)))
    if len(places):
        raise TableUnusable(
            f"Row {first_row + int(places[0]) + 1}, column {column!r} is empty.",
            errors=[FieldError(field=column, messages=("empty cell",))],
            suggestions=[_FILL],
        )
