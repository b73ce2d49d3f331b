"""Stages local files as uploads. A file on the disk of the store is linked, not copied."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from infra import private_files
from infra.storage.store import Staged, Store
from secateur.errors import Unavailable

READ_BYTES = 1 << 20


async def stage_file(store: Store, path: Path) -> Staged:
    """Stage a local file, which no process may write any more. The file itself is kept.

    Raises:
        Unavailable: the file cannot be read, or the store does not answer.
        StorageFull: the disk of the store is full.
    """
    key = None if store.folder is None else linked(path, store.folder)
    try:
        if key is None:
            return await store.stage(chunks(path), limit_bytes=path.stat().st_size)
        return Staged(key, *await asyncio.to_thread(digest_and_size, path))
    except BaseException as fault:
        if key is not None:
            await asyncio.shield(store.discard(Staged(key, "", 0)))
        if isinstance(fault, OSError):
            raise Unavailable("The bytes of this upload cannot be read.") from fault
        raise


def linked(path: Path, folder: Path) -> str | None:
    """Link a file into the staging folder of a local store.

    Returns:
        The key of the staged object; None if the file is on another disk, or the disk does not support links.
    """
    key = f"staging/{secrets.token_hex(16)}"
    target = folder / key
    try:
        private_files.make_folder(target.parent)
        os.link(path, target)
        os.utime(target)  # otherwise the collector may take it for a file that a killed gateway abandoned
    except OSError:
        return None
    return key


def digest_and_size(path: Path) -> tuple[str, int]:
    """Return the digest of a file, and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"sha256:{digest}", file.tell()


async def chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield the chunks of a file."""
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, READ_BYTES):
            yield chunk
