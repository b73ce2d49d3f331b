"""Small data sets that become gigabytes when they are read."""

import io
import struct
import zlib
from typing import Any, Final

import numpy as np

from screening.datasets.tfrecord import crc32c, masked
from tests.badfiles import BadUpload, npz

COST: Final = "upload_too_costly"


def parquet(**columns: Any) -> bytes:
    """A table as packed as pyarrow makes it."""
    import pyarrow as pa
    import pyarrow.parquet

    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def equal_rows(count: int) -> bytes:
    """Runs of equal numbers: three bytes for any number of rows."""
    import pyarrow as pa

    column = pa.repeat(pa.scalar(1, pa.int8()), count)
    return parquet(a=column, label=column)


def repeated_word(num_bytes: int, count: int) -> bytes:
    """One word in a dictionary, and rows that say it again and again."""
    import pyarrow as pa

    words = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), count), ["x" * num_bytes])
    return parquet(a=pa.repeat(1.0, count), label=words)


def numbers_in_lists(count: int) -> bytes:
    """One row whose cell holds a list."""
    import pyarrow as pa

    flat = pa.repeat(1.0, count)
    return parquet(a=pa.ListArray.from_arrays([0, count], flat), label=[1])


def wide_parquet(count: int) -> bytes:
    """A table of one row and many columns."""
    return parquet(**{f"c{number}": [1] for number in range(count)}, label=[1])


def wide_csv(count: int) -> bytes:
    """A header of many columns and one row."""
    return ",".join(f"c{number}" for number in range(count)).encode() + b",label\n" + b"1," * count + b"1\n"


def records(*lengths: int) -> bytes:
    """Records of zeros; the last one only says how long it is, with a checksum that fits."""
    made = []
    for number, length in enumerate(lengths):
        head = struct.pack("<Q", length)
        made.append(head + struct.pack("<I", masked(crc32c(head))))
        if number < len(lengths) - 1:
            body = bytes(length)
            made.append(body + struct.pack("<I", masked(crc32c(body))))
    return b"".join(made)


def one_colour(width: int, height: int) -> bytes:
    """A picture of equal pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(bytes(height * (width + 1)), 9))
        + chunk(b"IEND", b"")
    )


def _pictures() -> bytes:
    from tests.badfiles import zipped

    picture = one_colour(7_000, 7_000)
    return zipped({f"{name}/{number}.png": picture for name in ("cat", "dog") for number in range(2)})


def equal_samples(count: int) -> bytes:
    """Samples of one byte, and a label for each."""
    ones = {"x": np.ones((count, 1), np.int8), "y": np.ones(count, np.int8)}
    names = ("x_train", "y_train", "x_test", "y_test")
    return npz({name: ones[name[0]] for name in names}, compressed=True)


def _dataset(id: str, name: str, build: Any, code: str = COST, where: Any = "check") -> BadUpload:
    return BadUpload(id, "dataset", name, build, code, where)


DATA: Final = [
    _dataset("parquet-long-word", "data.parquet", lambda: parquet(c=["x" * (200 << 20)], label=[0])),
    _dataset("parquet-equal-rows", "data.parquet", lambda: equal_rows(20_000_000)),
    _dataset("parquet-repeated-word", "data.parquet", lambda: repeated_word(1 << 20, 1_000)),
    _dataset("parquet-wide", "data.parquet", lambda: wide_parquet(50_000)),
    _dataset("parquet-lists", "data.parquet", lambda: numbers_in_lists(20_000_000), "table_unusable"),
    _dataset("csv-wide", "data.csv", lambda: wide_csv(100_000), where="screening"),
    _dataset("csv-in-one-line", "data.csv", lambda: b"a,label\n" + b"1," * (3 << 20)),
    _dataset("npz-equal-samples", "data.npz", lambda: equal_samples(8_000_000), where="screening"),
    _dataset("record-behind-of-a-terabyte", "data.tfrecord", lambda: records(16, 1 << 40), "records_unusable"),
    _dataset("images-of-one-colour", "data.zip", _pictures),
]
"""Tables and arrays of equal values, long words, many columns, one line."""
