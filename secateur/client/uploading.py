"""Sending files: in one request, or in pieces that go on after whatever came between (tus 1.0)."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import httpx

from secateur.client import addresses, error_answers
from secateur.client.views import Pieces
from secateur.errors import NotFound, OffsetMismatch, SecateurError, Unavailable, UploadIncomplete, UploadLocked

CHUNK_BYTES = 1 << 18
PIECE_BYTES = 64 << 20
"""One request of a resumable upload; a file that is larger is sent so by itself."""
TUS: Final = {"Tus-Resumable": "1.0.0"}
INTERRUPTIONS: Final = (Unavailable, UploadLocked, OffsetMismatch, UploadIncomplete)

OnBytes = Callable[[int, int], None]
"""Called with the bytes sent so far, and all there are."""
Send = Callable[..., httpx.Response]
"""Method, path and options of a request. Raises errors of the tree."""
T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """How an upload in pieces goes about it: it gives up after ``patience_seconds`` without a byte of progress."""

    piece_bytes: int = PIECE_BYTES
    pause_seconds: float = 1.0
    patience_seconds: float = 120.0


USUAL: Final = Pace()


def whole(send: Send, path: str, file: Path, query: Mapping[str, str], on_bytes: OnBytes | None) -> httpx.Response:
    """Upload a file in one request."""
    size, digest = _measure(file)
    headers = {"Content-Length": str(size), "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}
    chunks = _chunks(file, 0, size, size, on_bytes)
    return send("POST", path, params={"name": file.name, **query}, content=chunks, headers=headers)


def in_pieces(
    send: Send,
    kind: Literal["model", "dataset"],
    file: Path,
    query: Mapping[str, str],
    *,
    resume: str | None = None,
    on_begin: Callable[[str], None] | None = None,
    on_bytes: OnBytes | None = None,
    pace: Pace = USUAL,
) -> str:
    """Upload a file piece by piece, through outages of up to two minutes. Returns the id of what it became.

    Args:
        resume: the id of an upload of the same file that was begun before.
        on_begin: told that id, so that it can be kept.

    Raises:
        RequestError: the file was refused, as a whole upload would have been.
        Unavailable: nothing got through for two minutes; go on later with ``resume``.
    """
    size, digest = _measure(file)
    if resume is None:
        told = {"kind": kind, "name": file.name, "digest": f"sha256:{digest.hex()}", **query}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in told.items())
        headers = TUS | {"Upload-Length": str(size), "Upload-Metadata": metadata}
        resume = send("POST", "/v1/uploads", headers=headers).headers["location"].rpartition("/")[2]
    address = addresses.of("uploads", resume)
    if on_begin is not None:
        on_begin(resume)
    patience = _Patience(pace)
    offset = patience.through(lambda: _offset(send, address))
    while offset < size:
        end = min(offset + pace.piece_bytes, size)
        headers = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        headers["Content-Length"] = str(end - offset)
        before = offset
        try:
            send("PATCH", address, content=_chunks(file, offset, end, size, on_bytes), headers=headers)
            offset = end
        except INTERRUPTIONS as fault:
            patience.wait(fault)
            offset = patience.through(lambda: _offset(send, address))
        if offset > before:
            patience = _Patience(pace)
    return patience.through(lambda: _became(send, address))


class _Patience:
    """Waits between tries, until it has been too long since the last progress."""

    def __init__(self, pace: Pace) -> None:
        self._pause_seconds = pace.pause_seconds
        self._until = time.monotonic() + pace.patience_seconds

    def wait(self, fault: SecateurError) -> None:
        """Pause, or raise the fault when it has been too long."""
        if time.monotonic() > self._until:
            raise fault
        time.sleep(self._pause_seconds)

    def through(self, ask: Callable[[], T]) -> T:
        """The answer, however often it takes."""
        while True:
            try:
                return ask()
            except Unavailable as fault:
                self.wait(fault)


def _offset(send: Send, address: str) -> int:
    try:
        return int(send("HEAD", address, headers=TUS).headers["upload-offset"])
    except NotFound:
        send("GET", address)  # which says in words what answers to HEAD cannot
        raise


def _became(send: Send, address: str) -> str:
    found = Pieces.model_validate_json(send("GET", address).content)
    if found.failure is not None:
        raise error_answers.from_failure(found.failure)
    if found.upload_id is None:
        raise Unavailable(f"{found.id} is complete, but its check has not started yet.")
    return found.upload_id


def _measure(file: Path) -> tuple[int, bytes]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        return stream.tell(), digest


def _chunks(file: Path, start: int, end: int, size: int, on_bytes: OnBytes | None) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while start < end and (chunk := stream.read(min(CHUNK_BYTES, end - start))):
            yield chunk
            start += len(chunk)
            if on_bytes is not None:
                on_bytes(start, size)
