"""Rows of uploaded models and data sets. Functions work inside the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from infra.db import locks
from infra.db.pages import newest_first
from infra.db.tables import Job, Upload
from infra.jobs import lifecycle
from secateur.ids import new_id
from secateur.protocol.keys import LOCAL_OWNER
from secateur.protocol.states import UploadState
from secateur.specs.reading import Reading

Kind = Literal["model", "dataset"]


def register(
    session: Session,
    kind: Kind,
    *,
    digest: str,
    num_bytes: int,
    name: str,
    format: str,
    reading: Reading,
    owner: str = LOCAL_OWNER,
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[Upload, Job | None]:
    """The owner's row for this content, and the check that it needs.

    Content that this owner has already, read in the same way, and not rejected keeps its row and needs no check: then
    the job is None. Its time begins anew. The content is held until the transaction ends: bytes go in place before.
    """
    same = (Upload.kind == kind, Upload.digest == digest, Upload.reading_digest == reading.digest())
    known = session.scalar(select(Upload).where(Upload.owner == owner, *same).with_for_update())
    locks.hold(session, "blob", [digest])
    if known is not None:
        known.expires_at = later(known.expires_at, expires_at)
    if known is not None and known.state != UploadState.REJECTED:
        return known, None
    if known is not None:
        known.state, known.failure = UploadState.CHECKING, None
        return known, lifecycle.create_check(session, known, now=now)
    upload = Upload(
        id=new_id("mdl" if kind == "model" else "dst"),
        owner=owner,
        kind=kind,
        digest=digest,
        num_bytes=num_bytes,
        name=name,
        format=format,
        reading=reading.declared(),
        reading_digest=reading.digest(),
        state=UploadState.CHECKING,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(upload)
    session.flush()
    return upload, lifecycle.create_check(session, upload, now=now)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two ends; None is never, which is later than any."""
    return None if one is None or other is None else max(one, other)


def get(session: Session, kind: Kind, upload_id: str, *, hold: bool = False) -> Upload | None:
    """The model or data set of that id; None also when the id names the other kind.

    ``hold`` keeps others who hold it too waiting until the transaction ends: no job is made for what is being deleted.
    """
    upload = session.get(Upload, upload_id, with_for_update=hold)
    return upload if upload is not None and upload.kind == kind else None


def page(
    session: Session,
    kind: Kind,
    *,
    owner: str | None = None,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> Sequence[Upload]:
    """Uploads of an owner, or of all, newest first, that come after the position ``(created_at, id)``.

    Without their summaries, of which one may have megabytes: to ask for one is an error.
    """
    query = select(Upload).where(Upload.kind == kind).options(defer(Upload.summary, raiseload=True))
    if owner is not None:
        query = query.where(Upload.owner == owner)
    return newest_first(session, Upload, query, limit=limit, after=after)
