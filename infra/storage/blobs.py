"""Which bytes are needed, and the one way to remove those that are not.

Bytes come while their row's transaction is open, and go when no committed row needs them any more: a transaction that
fails never leaves a row without its bytes. Both are done with the digest held, so nobody registers content that
somebody is removing, on any database. A worker's files come before the transaction of their rows, since storing them
may take minutes: it says first which ones it is about to need.
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
"""How long a worker may take from its files to their rows. One that dies in between leaves them to the collector."""


def is_referenced(session: Session, digest: str) -> bool:
    """Whether any row needs these bytes. A rejected upload does not: it only remembers why."""
    upload = select(Upload.id).where(Upload.digest == digest, Upload.state != UploadState.REJECTED)
    artifact = select(Artifact.job_id).where(Artifact.digest == digest)
    checkpoint = select(Job.id).where(Job.checkpoint_digest == digest)
    hold = select(BlobHold.digest).where(BlobHold.digest == digest)
    needed = or_(upload.exists(), artifact.exists(), checkpoint.exists(), hold.exists())
    return session.scalar(select(needed)) is True


def remove_unneeded(database: Database, store: Store, digests: Iterable[str]) -> int:
    """Remove the bytes that no committed row needs. Returns of how many digests.

    Each is looked at again, and removed, in a transaction that holds it and writes nothing: whoever registers the same
    content comes before, and keeps it, or after, and brings its bytes along.

    Raises:
        Unavailable: the database or the store does not answer. What is left is found by the next collection.
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
    """Say which bytes a job's files will have. From the end of this transaction on nobody removes them."""
    wanted = sorted(set(digests))
    locks.hold(session, "blob", wanted)
    until = now + timedelta(seconds=HOLD_SECONDS)
    for digest in wanted:
        session.merge(BlobHold(digest=digest, job_id=job_id, until=until))


def release(session: Session, job_id: str) -> None:
    """The files of the job have their rows, or never will."""
    session.execute(delete(BlobHold).where(BlobHold.job_id == job_id))


def release_old_holds(session: Session, *, now: datetime) -> None:
    """Forget what workers announced that never came back."""
    session.execute(delete(BlobHold).where(BlobHold.until < now))
