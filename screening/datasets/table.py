"""The look of tables: the lines of a csv, both ends of a parquet file. Nothing is parsed."""

from typing import IO, Final

from screening.costs import bounds, check_inflation, too_costly
from secateur.errors import TableUnusable, UploadEmpty

MAX_HEADER_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 1 << 20
_NEWLINE: Final = b"\n"
PARQUET: Final = b"PAR1"
_SIGNATURES: Final = {
    b"PK": "a zip archive",
    PARQUET: "a parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x80": "a pickle",
}


def check_csv(file: IO[bytes]) -> None:
    """Check the first line: text in UTF-8 that ends within a mebibyte, with something in it.

    Raises:
        UploadEmpty: no bytes. TableUnusable: it is no csv. UploadTooCostly: it names too many columns.
    """
    _refuse_empty(file)
    file.seek(0)
    line = bytes(file.read(MAX_HEADER_BYTES)).partition(b"\n")[0]
    found = next((what for start, what in _SIGNATURES.items() if line.startswith(start)), None)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _no_csv(f"it is {found or 'no text in UTF-8'}") from fault
    if found is not None or "\0" in text:
        raise _no_csv(f"it is {found or 'binary'}")
    if len(line) == MAX_HEADER_BYTES:
        raise _no_csv(f"its first line does not end within {MAX_HEADER_BYTES} bytes")
    if not text.strip():
        raise _no_csv("its first line is empty")
    check_columns(line.count(b",") + 1)


def check_columns(count: int) -> None:
    """Hold the number of columns against the bounds.

    Raises:
        UploadTooCostly: there are too many.
    """
    if count > bounds().table_columns:
        raise too_costly(
            f"The table has {count} columns; at most {bounds().table_columns} are accepted.",
            "SECATEUR_MAX_TABLE_COLUMNS",
            "Save samples of many numbers as an array: numpy.savez.",
        )


def check_lines(file: IO[bytes]) -> None:
    """Measure the lines of a csv that passed ``check_csv``: their length, and how many cells they can hold.

    Raises:
        UploadTooCostly: a line is too long, or there are too many cells.
    """
    limit = bounds().line_bytes
    num_bytes, num_lines, length = file.seek(0, 2), 0, 0
    file.seek(0)
    columns = file.readline(MAX_HEADER_BYTES).count(b",") + 1
    file.seek(0)
    while piece := bytes(file.read(min(PIECE_BYTES, limit))).replace(b"\r", _NEWLINE):
        num_lines += piece.count(_NEWLINE)
        first = piece.find(_NEWLINE)
        longest = length + (len(piece) if first < 0 else first)
        if longest > limit:
            raise too_costly(
                f"Line {num_lines - piece.count(_NEWLINE) + 1} has more than {limit} bytes.",
                "SECATEUR_MAX_LINE_BYTES",
                "Put each sample on a line of its own, or save long ones as an array: numpy.savez.",
            )
        length = longest if first < 0 else len(piece) - 1 - piece.rfind(_NEWLINE)
    cells = min(num_lines * columns, num_bytes)  # a cell takes a byte, and a comma or the end of its line another
    check_inflation(f"The table of {columns} columns", num_values=cells, num_bytes=4 * cells, file_bytes=num_bytes)


def check_parquet(file: IO[bytes]) -> None:
    """Check the magic bytes at both ends and the length of the footer.

    Raises:
        UploadEmpty: no bytes. TableUnusable: it is no parquet file, or one cut short.
    """
    num_bytes = _refuse_empty(file)
    file.seek(0)
    head = bytes(file.read(4))
    file.seek(max(0, num_bytes - 8))
    tail = bytes(file.read(8))
    footer = int.from_bytes(tail[:4], "little")
    if head != PARQUET or tail[4:] != PARQUET or footer + 12 > num_bytes:
        what = "is cut short" if head == PARQUET else "is no parquet file"
        raise TableUnusable(
            f"The file {what}: PAR1 was expected at both ends.",
            suggestions=['Write it again: pandas.DataFrame.to_parquet("data.parquet").'],
        )


def _refuse_empty(file: IO[bytes]) -> int:
    num_bytes = file.seek(0, 2)
    if num_bytes == 0:
        raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
    return num_bytes


def _no_csv(what: str) -> TableUnusable:
    return TableUnusable(
        f"The file is no csv: {what}.",
        suggestions=['Write it with a header, in UTF-8: pandas.DataFrame.to_csv("data.csv", index=False).'],
    )
