"""Decides which stored bytes are needed, and removes the others.

Bytes are stored while the transaction of their row is open, and removed when no committed row needs them. So a failed
transaction never leaves a row without its bytes. Both happen with the digest locked, so content cannot be registered
while it is being removed, on any database. A worker stores its files before the transaction of their rows, because that
may take minutes. It announces their digests first (``hold``).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from infra.db import locks
from infra.db.database import Database
from infra.db.tables import Artifact, BlobHold, Job, Upload
from infra.storage.store import Store
from secateur.protocol.states import UploadState

HOLD_SECONDS = 86_400.0
"""How long an announcement lasts. If the worker dies before it writes the rows, the collector removes the bytes."""


def is_referenced(session: Session, digest: str) -> bool:
    """Return whether any row needs these bytes. A rejected upload does not need its bytes."""
    upload = select(Upload.id).where(Upload.digest == digest, Upload.state != UploadState.REJECTED)
    artifact = select(Artifact.job_id).where(Artifact.digest == digest)
    checkpoint = select(Job.id).where(Job.checkpoint_digest == digest)
    hold = select(BlobHold.digest).where(BlobHold.digest == digest)
    needed = or_(upload.exists(), artifact.exists(), checkpoint.exists(), hold.exists())
    return session.scalar(select(needed)) is True


def remove_unneeded(database: Database, store: Store, digests: Iterable[str]) -> int:
    """Remove the bytes that no committed row needs. Return how many blobs were removed.

    Each digest is checked again and removed in a transaction that locks it. An upload of the same content either comes
    before, and keeps the bytes, or comes after, and stores them again.

    Raises:
        Unavailable: the database or the store does not answer. The next collection removes the rest.
    """
    removed = 0
    for digest in sorted(set(digests)):
        with database.write() as session:
            locks.hold(session, "blob", [digest])
            if not is_referenced(session, digest):
                store.delete(digest)
                removed += 1
    return removed


def hold(session: Session, job_id: str, digests: Iterable[str], *, now: datetime) -> None:
    """Announce the digests of a job's files. After the commit, no process removes their bytes."""
    wanted = sorted(set(digests))
    locks.hold(session, "blob", wanted)
    until = now + timedelta(seconds=HOLD_SECONDS)
    for digest in wanted:
        session.merge(BlobHold(digest=digest, job_id=job_id, until=until))


def release(session: Session, job_id: str) -> None:
    """Withdraw the announcements of a job: its files have their rows, or will never have."""
    session.execute(delete(BlobHold).where(BlobHold.job_id == job_id))


def release_old_holds(session: Session, *, now: datetime) -> None:
    """Withdraw announcements that have expired."""
    session.execute(delete(BlobHold).where(BlobHold.until < now))
