"""Files by content: a blob's key is its SHA-256, so equal content is stored once and never changes.

A store is a local folder or an S3 bucket; ``obstore`` supports both. Uploads are hashed while they stream into a
staging object, which becomes the blob when the upload is complete.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, cast

import obstore

from infra.storage.digests import CHUNK_BYTES, BeforeChunk, digest_of, no_check, verified
from infra.storage.objects import Objects, opened
from infra.storage.timeouts import call_with_timeout
from infra.storage.work_disk import write
from secateur.errors import InternalError, UploadEmpty, UploadTooLarge

ANSWER_SECONDS = 10.0
PART_BYTES = 6 << 20
"""The part size in S3, which allows parts of at least 5 MiB, and at most 10,000 parts."""
LOCAL_PART_BYTES = 1 << 20
MAX_CONCURRENT_PARTS = 2
"""More or larger parts would only fill the memory when the disk or the bucket is slower than the client."""


@dataclass(frozen=True)
class Staged:
    """A complete upload that is not a blob yet."""

    key: str
    digest: str
    num_bytes: int


@dataclass(frozen=True)
class Blob:
    """A file in the store."""

    digest: str
    num_bytes: int
    modified_at: datetime


class Store:
    """Blobs by digest (``sha256:<hex>``).

    Every method raises ``StorageFull`` when the disk is full and ``Unavailable`` when the store does not answer.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._objects = objects.quick
        self._patient = objects.patient
        self._translate_errors = objects.translated
        self._check = objects.check
        self._breaker = objects.breaker
        self.folder = objects.folder
        """The folder of a local store; None: the store is a bucket."""
        self._part_bytes = PART_BYTES if self.folder is None else LOCAL_PART_BYTES

    @classmethod
    def from_url(cls, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> "Store":
        """Open ``file:///folder`` or ``s3://bucket/prefix``. A bucket that takes longer to answer is unavailable."""
        return cls(opened(url, answer_seconds=answer_seconds))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self._check()
        with self._translate_errors():
            yield

    async def _check_async(self) -> None:
        """Run ``_check`` without blocking the event loop. It needs a thread only if the breaker is open."""
        if self._breaker.is_open:
            await asyncio.to_thread(self._check)

    async def _probe_bucket(self) -> None:
        """Find out quickly whether a bucket answers: the requests after this one have a longer time limit."""
        if self.folder is None:
            with self._translate_errors(), suppress(FileNotFoundError):
                await obstore.head_async(self._objects, "staging/anything")

    async def stage(self, chunks: AsyncIterator[bytes], *, limit_bytes: int) -> Staged:
        """Receive an upload in constant memory.

        Raises:
            UploadTooLarge: as soon as the upload exceeds the limit.
            UploadEmpty: the upload has no bytes.
            Whatever ``chunks`` raises. In all cases nothing is left in the store.
        """
        key = f"staging/{secrets.token_hex(16)}"
        digest, num_bytes = hashlib.sha256(), 0
        await self._check_async()
        await self._probe_bucket()
        with self._translate_errors():
            async with obstore.open_writer_async(
                self._patient, key, buffer_size=self._part_bytes, max_concurrency=MAX_CONCURRENT_PARTS
            ) as writer:
                async for chunk in chunks:
                    num_bytes += len(chunk)
                    if num_bytes > limit_bytes:
                        raise too_large(limit_bytes)
                    digest.update(chunk)
                    await writer.write(chunk)
                if num_bytes == 0:
                    raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
        return Staged(key, f"sha256:{digest.hexdigest()}", num_bytes)

    async def keep(self, staged: Staged) -> None:
        """Turn a staged upload into a blob. Content that is stored already stays as it is."""
        if await self.exists(staged.digest):
            await self.discard(staged)
            return
        with self._translate_errors():
            await obstore.rename_async(self._patient, staged.key, _key(staged.digest), overwrite=True)

    async def discard(self, staged: Staged) -> None:
        """Remove a staged upload. It is no error if it was kept or discarded before."""
        await self._check_async()
        with self._translate_errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._objects, staged.key)

    @contextmanager
    def open_staged(self, staged: Staged) -> Iterator[IO[bytes]]:
        """Open a staged upload as a seekable file while the block runs.

        Faults of the store within the block count too.
        """
        with self._guarded(), closing(cast(IO[bytes], obstore.open_reader(self._objects, staged.key))) as file:
            yield file

    async def exists(self, digest: str) -> bool:
        """Return whether the store has a blob."""
        await self._check_async()
        with self._translate_errors():
            try:
                await obstore.head_async(self._objects, _key(digest))
            except FileNotFoundError:
                return False
        return True

    async def read(self, digest: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``end`` (excluded) of a blob, in chunks.

        Raises:
            InternalError: the blob is missing.
        """
        if start == end:
            return
        await self._check_async()
        with self._translate_errors():
            try:
                answer = await obstore.get_async(self._objects, _key(digest), options={"range": (start, end)})
            except FileNotFoundError as fault:
                raise InternalError(f"The store has lost {digest}.") from fault
            async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def fetch(self, digest: str, path: Path, *, before_chunk: BeforeChunk = no_check) -> None:
        """Copy a blob to a local file, and check its digest.

        Raises:
            InternalError: the blob is missing or damaged.
            Whatever ``before_chunk`` raises, also while the store does not answer.
            WorkDiskFull: the disk of the file is full.
        """
        call_with_timeout(partial(self._fetch, digest, path, before_chunk), check=before_chunk)

    def _fetch(self, digest: str, path: Path, before_chunk: BeforeChunk) -> None:
        actual = hashlib.sha256()
        with self._guarded():
            try:
                answer = obstore.get(self._objects, _key(digest))
            except FileNotFoundError as fault:
                raise InternalError(f"The store has lost {digest}.") from fault
            before_chunk()  # raises if the caller has stopped waiting, and the folder is gone
            with path.open("wb", buffering=0) as file:
                for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                    before_chunk()
                    actual.update(chunk)
                    write(file, chunk)
        if digest != f"sha256:{actual.hexdigest()}":
            raise InternalError(f"The store has damaged {digest}.")

    def put(self, path: Path) -> tuple[str, int]:
        """Store a local file. Return its digest and its size in bytes."""
        with path.open("rb") as file:
            digest = digest_of(file)
            return digest, self.put_open(file, digest)

    def put_open(
        self, file: IO[bytes], digest: str, *, num_bytes: int | None = None, before_chunk: BeforeChunk = no_check
    ) -> int:
        """Store an open file with this digest, unless the store has its content. Return its size in bytes.

        Args:
            file: the open file.
            digest: of its content.
            num_bytes: most bytes to read, for a file that another process may be appending to.
            before_chunk: called before each chunk that is read.

        Raises:
            InternalError: the file has changed meanwhile. It is not stored then.
            Whatever ``before_chunk`` raises, also while the store does not answer. Nothing is stored then.
        """
        num_bytes = os.fstat(file.fileno()).st_size if num_bytes is None else num_bytes
        call_with_timeout(partial(self._put_open, file, digest, num_bytes, before_chunk), check=before_chunk)
        return num_bytes

    def _put_open(self, file: IO[bytes], digest: str, num_bytes: int, before_chunk: BeforeChunk) -> None:
        with self._guarded():
            try:
                obstore.head(self._objects, _key(digest))
            except FileNotFoundError:
                obstore.put(
                    self._patient,
                    _key(digest),
                    verified(file, digest, num_bytes, before_chunk),
                    use_multipart=num_bytes > self._part_bytes,
                    chunk_size=self._part_bytes,
                    max_concurrency=MAX_CONCURRENT_PARTS,
                )

    def delete(self, digest: str) -> None:
        """Remove a blob. It is no error if it does not exist."""
        with self._guarded():
            try:
                obstore.delete(self._objects, _key(digest))
            except FileNotFoundError:
                return

    def blobs(self) -> Iterator[Blob]:
        """Yield every blob, in no particular order."""
        with self._guarded():
            for page in obstore.list(self._objects, "sha256"):
                for item in page:
                    yield Blob("sha256:" + item["path"].rpartition("/")[2], item["size"], item["last_modified"])

    def discard_staged_before(self, moment: datetime) -> int:
        """Remove staging objects that were last written before ``moment``, and return how many.

        A killed gateway leaves such objects.
        """
        num = 0
        with self._guarded():
            for page in obstore.list(self._objects, "staging"):
                for item in page:
                    if item["last_modified"] < moment:
                        obstore.delete(self._objects, item["path"])
                        num += 1
        return num + (0 if self.folder is None else _discard_parts(self.folder / "staging", moment))

    def ping(self) -> None:
        """Raise ``Unavailable`` or ``StorageFull`` unless the store can write and delete an object."""
        key = f"staging/ping-{secrets.token_hex(8)}"
        with self._guarded():
            obstore.put(self._objects, key, b"ping")
            obstore.delete(self._objects, key)


def too_large(limit_bytes: int) -> UploadTooLarge:
    """Return the error of an upload that exceeds the limit, or announces that it will."""
    return UploadTooLarge(
        f"This service accepts at most {limit_bytes} bytes an upload.",
        suggestions=["Ask the operator to raise SECATEUR_MAX_UPLOAD_BYTES, or upload less data."],
    )


def _discard_parts(staging: Path, moment: datetime) -> int:
    """Remove old files that a local store was still writing (``name#1``), which it does not list."""
    old = [path for path in staging.glob("*#*") if path.is_file() and path.stat().st_mtime < moment.timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _key(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}/{value[:2]}/{value}"
