"""A file of this machine becomes a staged upload, without being copied where it lies on the disk of the store."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from infra.storage.store import Staged, Store
from secateur.errors import Unavailable

READ_BYTES = 1 << 20


async def stage_file(store: Store, path: Path) -> Staged:
    """Take in a file that nobody writes any more. Its bytes stay where they are, too.

    Raises:
        Unavailable: it cannot be read. StorageFull, Unavailable: of the store.
    """
    key = None if store.folder is None else linked(path, store.folder)
    try:
        if key is None:
            return await store.stage(pieces(path), limit_bytes=path.stat().st_size)
        return Staged(key, *await asyncio.to_thread(digest_and_size, path))
    except BaseException as fault:
        if key is not None:
            await asyncio.shield(store.discard(Staged(key, "", 0)))
        if isinstance(fault, OSError):
            raise Unavailable("The bytes of this upload cannot be read.") from fault
        raise


def linked(path: Path, folder: Path) -> str | None:
    """Give a file a second name among the staging objects of a local store.

    Returns:
        The key of the object; None when the file lies on another disk, or on one without links.
    """
    key = f"staging/{secrets.token_hex(16)}"
    target = folder / key
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
        os.utime(target)  # else it looks like what a killed gateway left, when its last piece came long ago
    except OSError:
        return None
    return key


def digest_and_size(path: Path) -> tuple[str, int]:
    """The digest of a file, and how many bytes it has."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"sha256:{digest}", file.tell()


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """The bytes of a file."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, READ_BYTES):
            yield piece
