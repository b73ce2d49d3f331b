"""Rows of resumable uploads. Functions work inside the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from infra.db.tables import ResumableUpload
from infra.uploads.uploads import Kind
from secateur.errors import Failure
from secateur.ids import new_id
from secateur.specs.reading import Reading


def create(
    session: Session,
    kind: Kind,
    *,
    owner: str,
    name: str,
    reading: Reading,
    digest: str | None,
    num_bytes: int,
    expires_at: datetime,
    now: datetime,
) -> ResumableUpload:
    """Write a resumable upload that has no bytes yet.

    Args:
        session: the caller's transaction.
        kind: what the upload becomes.
        owner: to whom it belongs.
        name: the file name that the user gave.
        reading: what the user declared about a data set.
        digest: the announced digest; None: not announced.
        num_bytes: the announced length.
        expires_at: when the upload is removed if no more bytes arrive.
        now: the time of creation.
    """
    row = ResumableUpload(
        id=new_id("upl"),
        owner=owner,
        kind=kind,
        name=name,
        reading=reading.declared(),
        digest=digest,
        num_bytes=num_bytes,
        offset=0,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row


def advance(session: Session, upload_id: str, offset: int, *, expires_at: datetime) -> bool:
    """Write how many bytes are on the disk. Return False if the upload was terminated meanwhile."""
    moved = (
        update(ResumableUpload)
        .where(ResumableUpload.id == upload_id)
        .values(offset=offset, expires_at=expires_at)
        .returning(ResumableUpload.id)
    )
    return session.scalar(moved) is not None


def refuse(session: Session, upload_id: str, failure: Failure) -> None:
    """Write why an upload was refused."""
    row = session.get(ResumableUpload, upload_id)
    if row is not None:
        row.failure = failure.model_dump(mode="json")


def has_ended(row: ResumableUpload) -> bool:
    """Return whether the upload was accepted or refused."""
    return row.upload_id is not None or row.failure is not None


def expired(session: Session, *, now: datetime) -> Sequence[ResumableUpload]:
    """Return uploads that waited too long for more bytes, and old rows of uploads that have ended."""
    return session.scalars(select(ResumableUpload).where(ResumableUpload.expires_at < now)).all()
