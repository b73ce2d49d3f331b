"""Files that grow piece by piece: one writer at a time, and never a byte that is counted and not on the disk.

What counts is the offset in the row. Bytes behind it, of a gateway that was killed, are cut off by the next writer.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool

from infra.storage.store import too_large
from secateur.errors import ChecksumMismatch, InternalError, StorageFull, UploadLocked

WRITE_BYTES = 1 << 20
SYNC_BYTES = 16 << 20
"""After so many bytes they are forced onto the disk and counted: as many at most are sent again after a crash."""
ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}

Count = Callable[[int], Awaitable[None]]
"""Told the number of bytes that are on the disk."""


@asynccontextmanager
async def writing(path: Path) -> AsyncIterator[IO[bytes]]:
    """The file, for one writer of any process. The kernel lets go of it when the process dies.

    It is closed in a thread: when it was removed meanwhile, closing frees its bytes on the disk, which takes a while.

    Raises:
        UploadLocked: somebody else is writing it.
        InternalError: it is not there.
    """
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError as fault:
        hint = "Begin it anew. With several gateways SECATEUR_UPLOADS_DIR must be one folder for all."
        raise InternalError("The bytes of this upload are not on this gateway.", suggestions=[hint]) from fault
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise UploadLocked(
                "Another request is writing this upload, or a lost one still seems to.",
                suggestions=["Ask for the offset again in a moment, and go on from there."],
            ) from fault
        yield file
    finally:
        await asyncio.shield(run_in_threadpool(file.close))


async def append(file: IO[bytes], chunks: AsyncIterator[bytes], *, offset: int, limit: int, count: Count) -> int:
    """Write what comes behind ``offset``, and count it as it reaches the disk. Returns the offset after it.

    Raises:
        UploadTooLarge: more comes than ``limit`` bytes in all. StorageFull: the disk is full.
        Whatever ``chunks`` raises. In every case what came before is counted.
    """
    await run_in_threadpool(_cut, file, offset)
    counted, buffer = offset, bytearray()
    try:
        async for chunk in chunks:
            if offset + len(buffer) + len(chunk) > limit:
                raise too_large(limit)
            buffer += chunk
            if len(buffer) >= WRITE_BYTES:
                offset = await run_in_threadpool(_write, file, buffer, offset)
                if offset - counted >= SYNC_BYTES:
                    await run_in_threadpool(os.fsync, file.fileno())
                    await count(offset)
                    counted = offset
    finally:
        offset = await asyncio.shield(_settle(file, buffer, offset, counted, count))
    return offset


async def _settle(file: IO[bytes], buffer: bytearray, offset: int, counted: int, count: Count) -> int:
    try:
        offset = await run_in_threadpool(_write, file, buffer, offset)
    finally:
        if offset != counted:
            await run_in_threadpool(os.fsync, file.fileno())
            await count(offset)
    return offset


async def append_checked(
    file: IO[bytes],
    chunks: AsyncIterator[bytes],
    *,
    offset: int,
    limit: int,
    algorithm: str,
    expected: bytes,
    count: Count,
) -> int:
    """Write a piece whole or not at all. Returns the offset after it.

    Raises:
        ChecksumMismatch: its bytes are not those of the checksum; the offset stays.
    """
    actual = ALGORITHMS[algorithm]()

    async def hashed() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            actual.update(chunk)
            yield chunk

    async def nothing_yet(_: int) -> None:
        return None

    end = await append(file, hashed(), offset=offset, limit=limit, count=nothing_yet)
    if actual.digest() != expected:
        await run_in_threadpool(_cut, file, offset)
        raise ChecksumMismatch(
            f"The {algorithm} of the {end - offset} bytes that arrived is {actual.hexdigest()}, not {expected.hex()}.",
            suggestions=["Send the piece again, from the same offset."],
        )
    await count(end)
    return end


def _write(file: IO[bytes], buffer: bytearray, offset: int) -> int:
    rest = memoryview(bytes(buffer))
    buffer.clear()
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as fault:
        raise StorageFull(f"The gateway's disk takes no more: {fault.strerror}.") from fault
    return file.tell()


def _cut(file: IO[bytes], offset: int) -> None:
    file.truncate(offset)
    file.seek(offset)
