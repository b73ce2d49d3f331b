"""Rows: samples of one shape and dtype, one behind the other in a file, read by position.

They behave like an array's first axis, but only what is asked for is in memory. Reads are ``preadv``, never a
mapping: what a process maps counts as its memory, and a cut file under a mapping kills it.
"""

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from engine.arrays import Array
from engine.parts import Parts
from secateur.errors import ArchiveUnsafe

HELD_BYTES: Final = 64 << 20
"""What takes less is held in memory: an array is faster to pick from than a file."""

MAX_WRITTEN_BYTES: Final = 64 << 30
"""A few kilobytes of images can promise terabytes of pixels, on a disk that jobs share."""

PIECE_BYTES: Final = 16 << 20
"""How much is looked at in one go where all of it must be."""


class RowFile:
    """An open file that closes itself when no rows read it any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def read(self, into: Array, at: int) -> None:
        """Fill an array with the bytes at a position; one call of the system gives at most 2 GiB."""
        left = memoryview(into.reshape(-1).view(np.uint8).data)
        while left:
            count = os.preadv(self._descriptor, [left], at)
            if count == 0:
                raise EOFError(f"the file ends at byte {at}, within its rows")
            left, at = left[count:], at + count


def open_file(path: Path) -> RowFile:
    """A file to read rows from, wherever it is."""
    return RowFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def scratch_file(content: Iterable[bytes]) -> RowFile:
    """A new file without a name, in the folder for temporary files; its room is free again when nobody reads it."""
    with tempfile.TemporaryFile() as file:
        for piece in content:
            file.write(piece)
        file.flush()
        return RowFile(os.dup(file.fileno()))


@dataclass(frozen=True)
class Rows:
    """Rows of a file. ``rows[a:b]`` and ``rows[indices]`` are arrays; ``select`` picks without reading."""

    file: RowFile
    offset: int
    """Of the first stored row, in bytes."""
    stored: tuple[int, ...]
    """Shape of all that lie in the file."""
    dtype: np.dtype[Any]
    order: Array | None = None
    """Which of the stored rows these are, in which order; None: all, as they lie."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.stored[1:])

    @property
    def nbytes(self) -> int:
        """All rows together, if they were in memory."""
        return len(self) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self.stored[1:], dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.stored[0] if self.order is None else len(self.order)

    def __getitem__(self, which: slice | Array) -> Array:
        """The rows of a slice, or at these places, as an array.

        Raises:
            IndexError: there is no such row.
        """
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if self.order is None and step == 1:
                return self._run(start, max(start, stop))
            which = np.arange(start, stop, step)
        return self._gather(self._places(which))

    def select(self, indices: Array) -> Self:
        """The rows at these places, in this order; nothing is read or copied."""
        return replace(self, order=self._places(indices))

    def _places(self, indices: Array) -> Array:
        indices = np.asarray(indices, np.int64)
        if len(indices) and not (-len(self) <= indices.min() and indices.max() < len(self)):
            raise IndexError(f"there are {len(self)} rows")
        indices = np.where(indices < 0, indices + len(self), indices)
        return indices if self.order is None else np.asarray(self.order[indices])

    def _run(self, start: int, stop: int) -> Array:
        rows = np.empty((stop - start, *self.stored[1:]), self.dtype)
        self.file.read(rows, self.offset + start * self._row_bytes)
        return rows

    def _gather(self, places: Array) -> Array:
        """Neighbours are read together, and all in the order of the file."""
        rows = np.empty((len(places), *self.stored[1:]), self.dtype)
        if len(places) == 0:
            return rows
        order = np.argsort(places, kind="stable")
        ordered = places[order]
        for run in np.split(np.arange(len(places)), np.flatnonzero(np.diff(ordered) != 1) + 1):
            rows[order[run]] = self._run(int(ordered[run[0]]), int(ordered[run[-1]]) + 1)
        return rows


Stored = Array | Rows
"""Samples as a data set keeps them: an array when they are small, rows when they are not."""

Samples = Stored | Parts[Stored]
"""The same for each input that a data set names."""


def held(rows: Rows) -> Stored:
    """The same rows in memory, when they are small enough for it."""
    return rows[:] if rows.nbytes < HELD_BYTES else rows


def stored_parts(samples: Samples) -> tuple[Stored, ...]:
    """What is stored of samples, one for each input."""
    return samples.each if isinstance(samples, Parts) else (samples,)


def select(samples: Samples, indices: Array) -> Samples:
    """Samples at these places: rows stay in their file, an array is copied."""
    if isinstance(samples, Parts):
        return Parts(samples.names, tuple(_select(part, indices) for part in samples.each))
    return _select(samples, indices)


def _select(stored: Stored, indices: Array) -> Stored:
    return stored.select(indices) if isinstance(stored, Rows) else stored[indices]


def pieces(stored: Stored, *, num_bytes: int = PIECE_BYTES) -> Iterator[tuple[int, Array]]:
    """All samples in order, some at a time, each piece with the place of its first.

    >>> [(start, len(piece)) for start, piece in pieces(np.zeros((5, 2), np.uint8), num_bytes=4)]
    [(0, 2), (2, 2), (4, 1)]
    """
    row_bytes = int(np.prod(stored.shape[1:], dtype=np.int64)) * stored.dtype.itemsize
    size = max(1, num_bytes // max(1, row_bytes))
    for start in range(0, len(stored), size):
        yield start, stored[start : start + size]


class RowWriter:
    """Writes arrays of samples behind one another into a file without a name."""

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        """Begin a file.

        Args:
            shape: of one sample.
        """
        self._shape, self._dtype = tuple(shape), np.dtype(dtype)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the writing; what was finished stays readable."""
        self._file.close()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self._shape

    def append(self, samples: Array) -> None:
        """Add samples, shape (n, *shape)."""
        assert samples.shape[1:] == self._shape
        if self._file.tell() + samples.size * self._dtype.itemsize > MAX_WRITTEN_BYTES:
            raise ArchiveUnsafe(
                f"Decoded, the data set takes more than {MAX_WRITTEN_BYTES >> 30} GiB.",
                suggestions=["Declare a smaller image_size.", "Upload an uncompressed .npz: it is read where it lies."],
            )
        self._file.write(np.ascontiguousarray(samples, self._dtype).data)
        self._count += len(samples)

    def finish(self) -> Stored:
        """All that was written; what is small comes back in memory."""
        self._file.flush()
        return held(Rows(RowFile(os.dup(self._file.fileno())), 0, (self._count, *self._shape), self._dtype))
