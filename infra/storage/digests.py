"""The content of local files, piece by piece, and the digests that it has."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import IO, Final

from secateur.errors import InternalError

CHUNK_BYTES: Final = 1 << 20

BeforeChunk = Callable[[], object]
"""Called before each piece of a long work; what it raises ends the work, and nothing of it is left."""


def no_check() -> None:
    """The default of ``before_chunk``."""


def digest_of(file: IO[bytes], *, num_bytes: int | None = None, before_chunk: BeforeChunk = no_check) -> str:
    """The digest of a local file, from its first byte; of so many bytes at most."""
    digest = hashlib.sha256()
    for piece in _pieces(file, num_bytes, before_chunk):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def verified(file: IO[bytes], digest: str, num_bytes: int, before_chunk: BeforeChunk) -> Iterator[bytes]:
    """The pieces of a file; an error in place of the end when they were not those of the digest.

    Raises:
        InternalError: the file is another one by now.
    """
    actual = hashlib.sha256()
    for piece in _pieces(file, num_bytes, before_chunk):
        actual.update(piece)
        yield piece
    if digest != f"sha256:{actual.hexdigest()}":
        raise InternalError("A file changed while it was being stored.")


def _pieces(file: IO[bytes], num_bytes: int | None, before_chunk: BeforeChunk) -> Iterator[bytes]:
    file.seek(0)
    left = os.fstat(file.fileno()).st_size if num_bytes is None else num_bytes
    while piece := file.read(min(CHUNK_BYTES, left)):
        before_chunk()
        left -= len(piece)
        yield piece
