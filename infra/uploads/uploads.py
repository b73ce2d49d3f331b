"""Rows of uploaded models and data sets. Functions work inside the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from infra.db import locks
from infra.db.pages import newest_first
from infra.db.tables import Job, Upload
from infra.jobs import creation
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
    """Return the owner's row for this content, and the job that checks it.

    If the owner already has the content with the same reading, and it was not rejected, the row is kept and its
    retention begins anew; no check is needed then, and the job is None. The digest is locked until the transaction
    ends, so that the caller can put the bytes in place before the commit.

    Args:
        session: the caller's transaction.
        kind: model or data set.
        digest: of the content.
        num_bytes: of the content.
        name: the file name that the user gave.
        format: as the static check of the file recognised it.
        reading: what the user declared about a data set.
        owner: to whom the row belongs.
        expires_at: when the upload is removed; None: never.
        now: the time of creation.
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
        return known, creation.create_check(session, known, now=now)
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
    return upload, creation.create_check(session, upload, now=now)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times of expiry. None means never, and is later than any time."""
    return None if one is None or other is None else max(one, other)


def get(session: Session, kind: Kind, upload_id: str, *, hold: bool = False) -> Upload | None:
    """Return the model or data set with this id; None also if the id belongs to the other kind.

    ``hold`` locks the row until the transaction ends, so that no job is created for an upload that is being deleted.
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
    """Return the uploads of an owner, newest first, that come after the position ``(created_at, id)``.

    Summaries are not loaded, because one may have megabytes; accessing one is an error.

    Args:
        session: the caller's transaction.
        kind: model or data set.
        owner: None: uploads of all owners.
        limit: the size of the page.
        after: the position of the last upload of the page before; None: start at the newest one.
    """
    query = select(Upload).where(Upload.kind == kind).options(defer(Upload.summary, raiseload=True))
    if owner is not None:
        query = query.where(Upload.owner == owner)
    return newest_first(session, Upload, query, limit=limit, after=after)
