"""The words of tus 1.0, the protocol of resumable uploads (tus.io/protocols/resumable-upload): headers in and out."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final, cast

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import screening
from infra.db.tables import ResumableUpload
from infra.storage.store import too_large
from infra.uploads.uploads import Kind
from secateur.errors import FieldError, ProtocolUnserved, UnsupportedFormat, UploadEmpty, UploadIncomplete
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.reading import Reading, check_reading, from_text
from service.uploads import receive
from service.uploads.intake import UploadRequest
from service.uploads.partial_files import ALGORITHMS

VERSION: Final = "1.0.0"
PIECE: Final = "application/offset+octet-stream"
PATH: Final = "/v1/uploads"
NAMES: Final = ("name", "filename")
IGNORED: Final = frozenset({"filetype", "type", "relativepath"})
"""What clients of tus send by themselves."""


class TusHeader:
    """Puts the protocol's version on every answer below ``/v1/uploads``, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"tus-resumable", VERSION.encode())]
            await send(message)

        concerned = scope["type"] == "http" and (scope["path"] == PATH or scope["path"].startswith(PATH + "/"))
        await self._app(scope, receive, tell if concerned else send)


class _OtherVersion(ProtocolUnserved):
    def __init__(self, given: str) -> None:
        hint = f"Send the header Tus-Resumable: {VERSION}."
        super().__init__(f"The request speaks tus {given or 'of no version'}; here is {VERSION}.", suggestions=[hint])
        self.headers: Mapping[str, str] = {"Tus-Version": VERSION}


def check_version(request: Request) -> None:
    """Raise ``ProtocolUnserved`` unless the request speaks our version."""
    given = request.headers.get("tus-resumable", "")
    if given != VERSION:
        raise _OtherVersion(given)


def abilities(max_bytes: int) -> dict[str, str]:
    """What the service tells of itself."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,checksum,termination,expiration",
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def progress(row: ResumableUpload) -> dict[str, str]:
    """Where an upload stands."""
    return {
        "Upload-Offset": str(row.offset),
        "Upload-Length": str(row.num_bytes),
        "Upload-Expires": http_date(row.expires_at),
        "Cache-Control": "no-store",
    }


def http_date(moment: datetime) -> str:
    """A time as HTTP spells it."""
    return format_datetime(moment, usegmt=True)


def number(request: Request, header: str) -> int:
    """A header that must be a whole number of bytes.

    Raises:
        UploadIncomplete: it is missing, or none.
    """
    text = request.headers.get(header, "")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UploadIncomplete(f"The header {header} is {text!r}.", suggestions=["Send a whole number of bytes."])
    return int(text)


def length(request: Request, *, max_bytes: int) -> int:
    """How large the upload will be.

    Raises:
        UploadIncomplete, UploadTooLarge, UploadEmpty: it is not told, too large, or nothing.
    """
    found = number(request, "Upload-Length")
    if found > max_bytes:
        raise too_large(max_bytes)
    if found == 0:
        raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
    return found


def check_piece(request: Request) -> None:
    """Raise ``UnsupportedFormat`` unless the body says that it is a piece."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != PIECE:
        raise UnsupportedFormat(f"A piece has the Content-Type {PIECE}.", suggestions=["Send that header."])


def checksum(request: Request) -> tuple[str, bytes] | None:
    """The algorithm and digest that a piece must have, if its sender tells.

    Raises:
        UploadIncomplete: the algorithm is unknown, or the digest is no base64.
    """
    given = request.headers.get("upload-checksum")
    if given is None:
        return None
    algorithm, _, text = given.strip().partition(" ")
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if algorithm not in ALGORITHMS or len(digest) != ALGORITHMS[algorithm]().digest_size:
        known = ", ".join(ALGORITHMS)
        raise UploadIncomplete(
            f"The header Upload-Checksum is {given!r}.",
            suggestions=[f"Write <algorithm> <base64>, with one of {known}."],
        )
    return algorithm, digest


def wanted(request: Request, owner: str) -> UploadRequest:
    """What the metadata say of an upload: ``kind``, ``name``, ``digest``, and how a data set is to be read.

    Raises:
        RequestError: as for a direct upload, before a byte is sent.
    """
    given = metadata(request.headers.get("upload-metadata", ""))
    kind = given.pop("kind", "")
    if kind not in ("model", "dataset"):
        raise _unusable("kind", "expected model or dataset")
    names = [given.pop(name, None) for name in NAMES]
    name = receive.checked_name(next(filter(None, names), None))
    digest = given.pop("digest", None)
    if digest is not None and not receive.is_digest(digest):
        raise _unusable("digest", "expected sha256:<64 hexadecimal digits>")
    declared = {key: value for key, value in given.items() if key.lower() not in IGNORED}
    reading = from_text(declared) if kind == "dataset" else Reading()
    if kind == "model" and declared:
        raise _unusable(next(iter(declared)), "a model is not declared")
    format = screening.format_of(cast(Kind, kind), name)
    if kind == "dataset":
        check_reading(reading, cast(DatasetFormat, format))
    return UploadRequest(owner, cast(Kind, kind), name, reading, digest)


def metadata(header: str) -> dict[str, str]:
    """Keys and values of ``Upload-Metadata``.

    Raises:
        UploadIncomplete: a value is no base64 of UTF-8.

    >>> metadata("kind bW9kZWw=,name YS5rZXJhcw==")
    {'kind': 'model', 'name': 'a.keras'}
    """
    found = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, text = pair.partition(" ")
        try:
            found[key] = base64.b64decode(text, validate=True).decode()
        except ValueError as fault:
            raise _unusable(key, "expected base64 of UTF-8") from fault
    return found


def _unusable(field: str, message: str) -> UploadIncomplete:
    return UploadIncomplete(
        f"Upload-Metadata: {field}: {message}.",
        errors=[FieldError(field=field, messages=(message,))],
        suggestions=["Send kind (model or dataset), name and, for a data set, how it is to be read, each as base64."],
    )
