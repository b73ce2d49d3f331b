"""Parquet files: held against their footer before a page is unpacked, and read in pieces.

A column can be packed a millionfold: one long value, runs of equal numbers, a dictionary whose words come again and
again. The footer tells rows and bytes of each column; words of dictionaries are counted before they are spelt out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from engine.data.formats.cells import first_repeated
from screening.costs import check_inflation
from screening.datasets.table import check_columns
from secateur.errors import FieldError, TableUnusable

BATCH_ROWS: Final = 16_384
BATCH_VALUES: Final = 1 << 23
"""Of a file, parsed at a time: so many rows, or fewer where there are many columns."""

NUMBER_BYTES: Final = 4


def opened(path: Path) -> pa.parquet.ParquetFile:
    """The file with its footer read. Columns of text stay dictionaries, in which each word stands once.

    Raises:
        pyarrow.ArrowException: the footer is damaged. UploadTooCostly: it has too many columns.
    """
    metadata = pa.parquet.read_metadata(path)
    check_columns(metadata.num_columns)
    schema = metadata.schema.to_arrow_schema()
    texts = [field.name for field in schema if _is_text(field.type)]
    return pa.parquet.ParquetFile(path, metadata=metadata, read_dictionary=texts)


def names_of(file: pa.parquet.ParquetFile) -> list[str]:
    """The columns.

    Raises:
        TableUnusable: two have one name.
    """
    names = list(file.schema_arrow.names)
    twice = first_repeated(names)
    if twice is not None:
        raise TableUnusable(f"Two columns are named {twice[:80]!r}.", suggestions=["Rename one of them."])
    return names


def check_cost(file: pa.parquet.ParquetFile, used: Sequence[str], *, file_bytes: int) -> None:
    """Hold rows, columns and unpacked bytes of the footer against the size of the file.

    Raises:
        TableUnusable: one of the columns holds lists, structures or blocks of bytes.
        UploadTooCostly: the columns become far more than the file holds.
    """
    schema = file.schema_arrow
    for name in used:
        kind = schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind):
            raise TableUnusable(
                f"Column {name!r} is of type {kind}; features must be numbers.",
                errors=[FieldError(field=name, messages=(f"of type {kind}",))],
                suggestions=[f"Drop column {name!r}, or give each of its numbers a column of its own."],
            )
    rows = file.metadata.num_rows
    check_inflation(
        f"The table of {rows} rows x {len(used)} columns",
        num_values=rows * len(used),
        num_bytes=max(NUMBER_BYTES * rows * len(used), _unpacked_bytes(file.metadata, set(used))),
        file_bytes=file_bytes,
    )


def _unpacked_bytes(metadata: Any, used: set[str]) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(max(0, chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema in used)


def pieces(file: pa.parquet.ParquetFile, used: Sequence[str], *, file_bytes: int) -> Iterator[Mapping[str, pa.Array]]:
    """The columns, some rows at a time, with words in place of their numbers in a dictionary.

    Raises:
        UploadTooCostly: the words spelt out take far more than the file holds.
    """
    spelt = 0
    for batch in file.iter_batches(max(1, min(BATCH_ROWS, BATCH_VALUES // len(used))), columns=list(used)):
        spelt += sum(_spelt_bytes(column) for column in batch.columns)
        check_inflation("The text of the table", num_values=0, num_bytes=spelt, file_bytes=file_bytes)
        yield {name: _spelt(batch[name]) for name in used}


def _is_text(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in kinds)


def _spelt_bytes(column: pa.Array) -> int:
    if not isinstance(column, pa.DictionaryArray) or not _is_text(column.type.value_type):
        return 0
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0


def _spelt(column: pa.Array) -> pa.Array:
    is_text = isinstance(column, pa.DictionaryArray) and _is_text(column.type.value_type)
    return column.dictionary_decode() if is_text else column
