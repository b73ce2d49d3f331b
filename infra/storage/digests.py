"""Digests of local files, which are read in chunks."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import IO, Final

from secateur.errors import InternalError

CHUNK_BYTES: Final = 1 << 20

BeforeChunk = Callable[[], object]
"""Called before each chunk of a long transfer. An exception that it raises ends the transfer without a result."""


def no_check() -> None:
    """Do nothing. The default of ``before_chunk``."""


def digest_of(file: IO[bytes], *, num_bytes: int | None = None, before_chunk: BeforeChunk = no_check) -> str:
    """Return the digest of a local file from its first byte, or of its first ``num_bytes`` bytes."""
    digest = hashlib.sha256()
    for chunk in _chunks(file, num_bytes, before_chunk):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def verified(file: IO[bytes], digest: str, num_bytes: int, before_chunk: BeforeChunk) -> Iterator[bytes]:
    """Yield the chunks of a file, and check at the end that they have this digest.

    Raises:
        InternalError: the file has changed meanwhile.
    """
    actual = hashlib.sha256()
    for chunk in _chunks(file, num_bytes, before_chunk):
        actual.update(chunk)
        yield chunk
    if digest != f"sha256:{actual.hexdigest()}":
        raise InternalError("A file changed while it was being stored.")


def _chunks(file: IO[bytes], num_bytes: int | None, before_chunk: BeforeChunk) -> Iterator[bytes]:
    file.seek(0)
    left = os.fstat(file.fileno()).st_size if num_bytes is None else num_bytes
    while chunk := file.read(min(CHUNK_BYTES, left)):
        before_chunk()
        left -= len(chunk)
        yield chunk
