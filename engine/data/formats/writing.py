"""Samples that are decoded piece by piece, each input into rows of its own."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from engine.arrays import Array
from engine.data.rows import RowWriter, Samples
from engine.parts import Parts


class SamplesWriter:
    """Writes pieces of samples, by input; of one without a name, plain rows."""

    def __init__(self) -> None:
        self._writers: dict[str, RowWriter] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """Of one sample of an input; None before the first piece."""
        return self._writers[name].shape if name in self._writers else None

    def append(self, pieces: Mapping[str, Array]) -> None:
        """Add a piece for each input, shape (n, ...); shape and type of the first are those of all."""
        for name, piece in pieces.items():
            if name not in self._writers:
                self._writers[name] = self._open.enter_context(RowWriter(piece.shape[1:], piece.dtype))
            self._writers[name].append(piece)

    def finish(self) -> Samples:
        """All that was written, in the order of the first pieces."""
        found = {name: writer.finish() for name, writer in self._writers.items()}
        return found[""] if "" in found else Parts(tuple(found), tuple(found.values()))
