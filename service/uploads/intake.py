"""From bytes to an upload with its check: staged, screened, kept and written down, however the bytes came."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import from_thread
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

import screening
from infra.accounts import owner_limits, quotas
from infra.cleanup import retention
from infra.db import locks
from infra.db.database import now
from infra.db.tables import Job, Upload
from infra.storage.store import Staged
from infra.telemetry.logs import logger
from infra.uploads import uploads
from screening.costs import limited_to
from secateur.specs.reading import Reading
from service.components import Components
from service.jobs.dispatch import notify_workers
from service.uploads import receive


@dataclass(frozen=True)
class UploadRequest:
    """What is known of an upload before its bytes are."""

    owner: str
    kind: uploads.Kind
    name: str
    reading: Reading
    digest: str | None = None
    """The ``sha256:...`` that its sender says it has."""


def _nothing_else(session: Session, upload: Upload) -> None:
    """The default of ``also``."""


async def store_upload(
    parts: Components,
    wanted: UploadRequest,
    staging: Awaitable[Staged],
    *,
    also: Callable[[Session, Upload], None] = _nothing_else,
) -> tuple[Upload, bool]:
    """Stage, screen, keep, write the rows, and ring for a worker. Whatever fails leaves nothing behind.

    Args:
        staging: of the bytes, into the store.
        also: what else belongs into the transaction that writes the rows.

    Returns:
        The upload, and whether its owner did not have it before.

    Raises:
        RequestError: the bytes are too many, not those that were promised, or refused by screening.
    """
    staged = await staging
    try:
        receive.check_digest(wanted.digest, staged.digest)
        format = await run_in_threadpool(_screen, parts, wanted, staged)
        upload, check = await run_in_threadpool(_register, parts, wanted, staged, format, also)
    except BaseException:
        await asyncio.shield(parts.store.discard(staged))
        raise
    if check is not None:
        await run_in_threadpool(notify_workers, parts, check)
        logger("gateway").info("upload accepted", upload=upload.id, bytes=upload.num_bytes, check=check.id)
    return upload, check is not None


def _screen(parts: Components, wanted: UploadRequest, staged: Staged) -> str:
    with parts.store.open_staged(staged) as file, limited_to(parts.settings.cost_bounds):
        return screening.screen(wanted.kind, wanted.name, file)


def _register(
    parts: Components, wanted: UploadRequest, staged: Staged, format: str, also: Callable[[Session, Upload], None]
) -> tuple[Upload, Job | None]:
    """Write the rows, with the bytes in place before they are committed: a row promises its bytes."""

    def write() -> tuple[Upload, Job | None]:
        at = now()
        with parts.database.write() as session:
            locks.hold(session, "owner", [wanted.owner])
            upload, check = uploads.register(
                session,
                wanted.kind,
                digest=staged.digest,
                num_bytes=staged.num_bytes,
                name=wanted.name,
                format=format,
                reading=wanted.reading,
                owner=wanted.owner,
                expires_at=retention.expiry(parts.settings.keep_uploads_days, now=at),
                now=at,
            )
            also(session, upload)
            limits = owner_limits.effective(session, wanted.owner, settings=parts.settings)
            quotas.check_storage(session, wanted.owner, 0, limits)  # with the new row counted
            if check is not None:
                quotas.check_queued_checks(session, wanted.owner, limits, more=0)
            from_thread.run(parts.store.keep, staged)
            return upload, check

    try:
        return write()
    except IntegrityError:  # the same content was registered in the same instant; now its row is there
        return write()
