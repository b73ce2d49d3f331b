"""Rows of uploads that come in pieces. Functions work inside the caller's transaction."""

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
    """Write an upload of which no byte is there yet."""
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
    """Remember how many bytes are on the disk. False when the upload was terminated meanwhile."""
    moved = (
        update(ResumableUpload)
        .where(ResumableUpload.id == upload_id)
        .values(offset=offset, expires_at=expires_at)
        .returning(ResumableUpload.id)
    )
    return session.scalar(moved) is not None


def refuse(session: Session, upload_id: str, failure: Failure) -> None:
    """Remember why an upload became nothing."""
    row = session.get(ResumableUpload, upload_id)
    if row is not None:
        row.failure = failure.model_dump(mode="json")


def has_ended(row: ResumableUpload) -> bool:
    """Whether it is known what became of it."""
    return row.upload_id is not None or row.failure is not None


def expired(session: Session, *, now: datetime) -> Sequence[ResumableUpload]:
    """Uploads that waited too long for more bytes, and the memory of old ones that have ended."""
    return session.scalars(select(ResumableUpload).where(ResumableUpload.expires_at < now)).all()
