"""The bytes of an upload, as they arrive: a raw body, or the field ``file`` of a multipart form."""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from infra.storage.store import too_large
from secateur.errors import FieldError, UploadIncomplete
from service.uploads.raw_body import raw_body

if TYPE_CHECKING:
    from service.uploads.forms import Form

MAX_NAME = 256


@dataclass(frozen=True)
class Incoming:
    """An upload that has begun: its name is known, its bytes are still to come."""

    name: str
    chunks: AsyncIterator[bytes]


async def begin(request: Request, name: str | None, *, limit_bytes: int) -> Incoming:
    """Look at the head of an upload.

    Raises:
        UploadTooLarge: ``Content-Length`` says so; no byte of the body is read.
        UploadIncomplete: no file name, or no field ``file``.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit_bytes + (1 << 16 if _is_multipart(request) else 0):
        raise too_large(limit_bytes)
    if not _is_multipart(request):
        return Incoming(checked_name(name or _header_name(request)), raw_body(request))
    form = await run_in_threadpool(_form, request)
    await form.read_until_named()
    return Incoming(checked_name(name or form.name), form.chunks())


def _form(request: Request) -> "Form":
    """The parser of a form. Called in a thread: the first form imports 300 modules that most gateways never need."""
    from service.uploads.forms import Form

    return Form(request)


def declared_bytes(request: Request) -> int:
    """How many bytes ``Content-Length`` announces; 0 when it does not tell."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 19 else 0


def expected_digest(request: Request) -> str | None:
    """The ``sha256:...`` that the client says its bytes have (RFC 9530), or None.

    Raises:
        UploadIncomplete: the header is there and is no SHA-256.
    """
    for header in ("repr-digest", "content-digest"):
        value = request.headers.get(header)
        if value is None:
            continue
        found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", value)
        try:
            digest = base64.b64decode(found[1], validate=True) if found else b""
        except binascii.Error:
            digest = b""
        if len(digest) != 32:
            raise UploadIncomplete(
                f"The header {header} holds no SHA-256.", suggestions=["Write it as sha-256=:<base64 of 32 bytes>:"]
            )
        return f"sha256:{digest.hex()}"
    return None


def is_digest(text: str) -> bool:
    """Whether a text is a digest as we write them.

    >>> is_digest("sha256:" + "0" * 64), is_digest("md5:0")
    (True, False)
    """
    return re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None


def check_digest(expected: str | None, actual: str) -> None:
    """Raise ``UploadIncomplete`` when the bytes are not those that the client sent."""
    if expected is not None and expected != actual:
        raise UploadIncomplete(
            f"The bytes that arrived have {actual}; the request says {expected}.", suggestions=["Upload again."]
        )


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _header_name(request: Request) -> str | None:
    message = Message()
    message["content-disposition"] = request.headers.get("content-disposition", "")
    return message.get_filename()


def checked_name(name: str | None) -> str:
    """A file name without the folders before it.

    Raises:
        UploadIncomplete: there is none, or none that can be told.
    """
    plain = PurePosixPath((name or "").replace("\\", "/")).name
    if not plain or len(plain) > MAX_NAME or not plain.isprintable():
        raise UploadIncomplete(
            "The upload has no usable file name.",
            errors=[FieldError(field="name", messages=(f"expected 1 to {MAX_NAME} printable characters",))],
            suggestions=["Add ?name=model.keras to the address, or send a Content-Disposition with a filename."],
        )
    return plain
