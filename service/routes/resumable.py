"""Uploads that can be interrupted: tus 1.0 with creation, checksum, termination and expiration.

The last piece makes the model or the data set, as a direct upload does; ``GET`` tells what became of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from infra import private_files
from infra.accounts import owner_limits, quotas
from infra.accounts.owner_limits import EffectiveLimits
from infra.db import locks
from infra.db.database import now
from infra.db.tables import ResumableUpload, Upload
from infra.storage.staged_files import stage_file
from infra.uploads import resumable
from infra.uploads.uploads import Kind
from secateur import errors
from secateur.ids import kind_of
from secateur.specs.reading import Reading
from service.accounts.caller import Caller, UseCaller
from service.components import Components, UseComponents
from service.http.problems import responses
from service.routes.uploads import UPLOAD_ERRORS
from service.uploads import partial_files, receive, tus
from service.uploads.intake import UploadRequest, store_upload
from service.uploads.raw_body import raw_body
from service.uploads.tus_headers import BEGINS, CONTINUES, SPEAKS, with_headers
from service.views.resources import ResumableView, resumable_view

router = APIRouter(prefix=tus.PATH, tags=["uploads"])

SILENT_SECONDS = 30.0
"""A sender that is silent for so long is gone; its upload is free for the next request."""

LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.ProtocolUnserved, errors.Unavailable)
PIECE_ERRORS = UPLOAD_ERRORS | responses(
    errors.NotFound,
    errors.OffsetMismatch,
    errors.UploadLocked,
    errors.ProtocolUnserved,
    errors.ChecksumMismatch,
)


@router.options("", operation_id="describe_uploads", status_code=204, response_class=Response, responses=responses())
def describe_uploads(parts: UseComponents, caller: UseCaller) -> Response:
    """What of tus is spoken here, and how large an upload of yours may be."""
    return Response(status_code=204, headers=tus.abilities(_limits(parts, caller).max_upload_bytes))


def _limits(parts: Components, caller: Caller) -> EffectiveLimits:
    with parts.database.read() as session:
        return owner_limits.effective(session, caller.owner, settings=parts.settings)


@router.post(
    "",
    operation_id="begin_upload",
    status_code=201,
    response_class=Response,
    responses=UPLOAD_ERRORS | responses(errors.ProtocolUnserved),
    openapi_extra=with_headers(BEGINS),
)
def begin_upload(request: Request, parts: UseComponents, caller: UseCaller) -> Response:
    """Begin an upload. `Upload-Metadata` has `kind`, `name`, perhaps `digest`, and how a data set is to be read."""
    tus.check_version(request)
    limits = _limits(parts, caller)
    num_bytes = tus.length(request, max_bytes=limits.max_upload_bytes)
    wanted = tus.wanted(request, caller.owner)
    _make_folder(parts)
    _tidy(parts)
    with parts.database.write() as session:
        locks.hold(session, "owner", [caller.owner])
        quotas.check_storage(session, caller.owner, num_bytes, limits)
        quotas.check_queued_checks(session, caller.owner, limits)
        row = resumable.create(
            session,
            wanted.kind,
            owner=wanted.owner,
            name=wanted.name,
            reading=wanted.reading,
            digest=wanted.digest,
            num_bytes=num_bytes,
            expires_at=_expiry(parts),
            now=now(),
        )
        _path(parts, row).touch()
    headers = {"Location": f"{tus.PATH}/{row.id}", "Upload-Expires": tus.http_date(row.expires_at)}
    return Response(status_code=201, headers=headers)


def _make_folder(parts: Components) -> None:
    try:
        private_files.make_folder(parts.settings.partial_uploads)
    except OSError as fault:
        hint = "Ask the operator to let the gateway write to SECATEUR_UPLOADS_DIR, or send the file in one request."
        raise errors.Unavailable(
            f"The folder for uploads in pieces cannot be made: {fault.strerror}.", suggestions=[hint]
        ) from fault


@router.head(
    "/{upload_id}",
    operation_id="get_upload_offset",
    response_class=Response,
    responses=LOOKUP_ERRORS,
    openapi_extra=with_headers([SPEAKS]),
)
def get_upload_offset(request: Request, parts: UseComponents, caller: UseCaller, upload_id: str) -> Response:
    """Where to go on: `Upload-Offset`."""
    tus.check_version(request)
    return Response(headers=tus.progress(_find(parts, caller, upload_id)))


@router.get("/{upload_id}", operation_id="get_upload", responses=LOOKUP_ERRORS)
async def get_upload(parts: UseComponents, caller: UseCaller, upload_id: str) -> ResumableView:
    """What became of an upload. One that is there in full and was not looked at, of a killed gateway say, is so now."""
    row = await run_in_threadpool(_find, parts, caller, upload_id)
    if row.offset == row.num_bytes and not resumable.has_ended(row):
        with suppress(errors.RequestError):
            async with partial_files.writing(_path(parts, row)):
                await _complete(parts, row)
        row = await run_in_threadpool(_find, parts, caller, upload_id)
    return resumable_view(row)


@router.patch(
    "/{upload_id}",
    operation_id="continue_upload",
    status_code=204,
    response_class=Response,
    responses=PIECE_ERRORS,
    openapi_extra=with_headers(
        CONTINUES,
        requestBody={"required": True, "content": {tus.PIECE: {"schema": {"type": "string", "format": "binary"}}}},
    ),
)
async def continue_upload(request: Request, parts: UseComponents, caller: UseCaller, upload_id: str) -> Response:
    """Send a piece from `Upload-Offset` on. The last one makes the model or data set, or answers why it cannot."""
    tus.check_version(request)
    tus.check_piece(request)
    given, checksum = tus.number(request, "Upload-Offset"), tus.checksum(request)
    row = await run_in_threadpool(_find, parts, caller, upload_id)
    if resumable.has_ended(row):  # its file is gone
        _check_offset(row, given)
        return Response(status_code=204, headers=tus.progress(row))
    async with partial_files.writing(_path(parts, row)) as file:
        row = await run_in_threadpool(_find, parts, caller, upload_id)  # as whoever wrote before us left it
        _check_offset(row, given)
        if given + receive.declared_bytes(request) > row.num_bytes:
            raise errors.UploadTooLarge(
                f"{row.num_bytes - given} bytes are missing; the piece has more.",
                suggestions=["Send what is missing, or begin an upload of the right length."],
            )
        row = await _append(parts, row, file, _timely(raw_body(request)), checksum)
        if row.offset == row.num_bytes:
            await _complete(parts, row)
    return Response(status_code=204, headers=tus.progress(row))


@router.delete(
    "/{upload_id}",
    operation_id="terminate_upload",
    status_code=204,
    responses=LOOKUP_ERRORS,
    openapi_extra=with_headers([SPEAKS]),
)
def terminate_upload(request: Request, parts: UseComponents, caller: UseCaller, upload_id: str) -> None:
    """Give an upload up. The model or data set that it became stays."""
    tus.check_version(request)
    row = _find(parts, caller, upload_id)
    with parts.database.write() as session:
        session.delete(row)
    _path(parts, row).unlink(missing_ok=True)


async def _append(
    parts: Components,
    row: ResumableUpload,
    file: IO[bytes],
    chunks: AsyncIterator[bytes],
    checksum: tuple[str, bytes] | None,
) -> ResumableUpload:
    async def count(offset: int) -> None:
        await run_in_threadpool(_advance, parts, row, offset)

    options: dict[str, Any] = {"offset": row.offset, "limit": row.num_bytes, "count": count}
    if checksum is None:
        await partial_files.append(file, chunks, **options)
    else:
        await partial_files.append_checked(file, chunks, algorithm=checksum[0], expected=checksum[1], **options)
    return row


def _advance(parts: Components, row: ResumableUpload, offset: int) -> None:
    expires_at = _expiry(parts)
    with parts.database.write() as session:
        if not resumable.advance(session, row.id, offset, expires_at=expires_at):
            raise errors.NotFound(f"{row.id} was given up meanwhile.", suggestions=["Begin another upload."])
    row.offset, row.expires_at = offset, expires_at


async def _complete(parts: Components, row: ResumableUpload) -> None:
    """Make a model or a data set of an upload that is there in full; remember why, if it cannot be one."""
    wanted = UploadRequest(row.owner, cast(Kind, row.kind), row.name, Reading.model_validate(row.reading), row.digest)

    def remember(session: Session, upload: Upload) -> None:
        session.get_one(ResumableUpload, row.id).upload_id = upload.id

    try:
        await store_upload(parts, wanted, stage_file(parts.store, _path(parts, row)), also=remember)
    except errors.QuotaExceeded:
        raise  # there may be room later
    except errors.RequestError as refusal:
        await run_in_threadpool(_refuse, parts, row, refusal)
        await _remove_file(parts, row)
        raise
    await _remove_file(parts, row)


async def _remove_file(parts: Components, row: ResumableUpload) -> None:
    """Remove the bytes of an upload that has ended. In a thread: a large file takes a while."""
    await asyncio.shield(run_in_threadpool(_path(parts, row).unlink, missing_ok=True))


def _refuse(parts: Components, row: ResumableUpload, refusal: errors.RequestError) -> None:
    with parts.database.write() as session:
        resumable.refuse(session, row.id, refusal.failure())


async def _timely(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            yield await asyncio.wait_for(anext(chunks), SILENT_SECONDS)
        except StopAsyncIteration:
            return
        except TimeoutError as fault:
            raise errors.UploadIncomplete(
                f"No byte came for {SILENT_SECONDS:.0f} seconds.", suggestions=["Ask for the offset and go on there."]
            ) from fault


def _check_offset(row: ResumableUpload, given: int) -> None:
    if given != row.offset:
        raise errors.OffsetMismatch(
            f"{row.offset} of {row.num_bytes} bytes are here; the piece begins at {given}.",
            suggestions=[f"HEAD {tus.PATH}/{row.id} tells the offset."],
        )


def _find(parts: Components, caller: Caller, upload_id: str) -> ResumableUpload:
    with parts.database.read() as session:
        row = session.get(ResumableUpload, upload_id)
    if row is None or not caller.sees(row.owner) or row.expires_at < now():
        named = (
            f" {upload_id} names {kind}." if (kind := kind_of(upload_id)) not in (None, "a resumable upload") else ""
        )
        raise errors.NotFound(f"There is no upload {upload_id}.{named}", suggestions=[f"POST {tus.PATH} begins one."])
    return row


def _tidy(parts: Components) -> None:
    """Remove uploads that waited too long, with their files, and files that no row knows."""
    with parts.database.write() as session:
        for row in resumable.expired(session, now=now()):
            session.delete(row)
            _path(parts, row).unlink(missing_ok=True)
    old = now() - timedelta(hours=parts.settings.resume_hours)
    for path in parts.settings.partial_uploads.glob("upl_*"):
        if path.stat().st_mtime < old.timestamp():
            path.unlink(missing_ok=True)


def _expiry(parts: Components) -> datetime:
    return now() + timedelta(hours=parts.settings.resume_hours)


def _path(parts: Components, row: ResumableUpload) -> Path:
    return parts.settings.partial_uploads / row.id
