"""Removes uploads and jobs with their bytes, on request of the user or when they expire.

Rows are removed first, in one transaction. Their bytes are removed after it was committed (``removing``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from infra.db.database import Database
from infra.db.tables import Artifact, Job, Upload
from infra.jobs import queries
from infra.jobs import trials as sweep_trials
from infra.storage import blobs
from infra.storage.store import Store
from infra.telemetry.logs import logger
from secateur.errors import InUse, ServiceError
from secateur.protocol.states import FINAL, UNFINISHED


def expiry(days: float, *, now: datetime) -> datetime | None:
    """Return when something that is created now expires. For 0 days: None, never.

    >>> from datetime import UTC
    >>> expiry(7, now=datetime(2026, 1, 1, tzinfo=UTC)).date()
    datetime.date(2026, 1, 8)
    """
    return now + timedelta(days=days) if days else None


@dataclass(frozen=True)
class Removal:
    """A transaction that removes rows, and the digests of the bytes that the rows needed."""

    session: Session
    freed: list[str] = field(default_factory=list)


@contextmanager
def removing(database: Database, store: Store) -> Iterator[Removal]:
    """Run the block in a transaction. After its commit, remove the bytes that no row needs any more.

    If the store does not answer then, or this process ends, the bytes stay without a row until the next collection.

    Raises:
        Whatever the block or its commit raises. Rows and bytes are unchanged then.
    """
    with database.write() as session:
        removal = Removal(session)
        yield removal
    try:
        blobs.remove_unneeded(database, store, removal.freed)
    except ServiceError as fault:
        logger("retention").warning("bytes left to the collector", fault=fault.detail, num_digests=len(removal.freed))


def remove_upload(removal: Removal, upload: Upload) -> None:
    """Remove an upload that the caller has locked, its check, and its bytes unless another row needs them.

    Raises:
        InUse: unfinished jobs need the upload; the message names them.
    """
    users = queries.unfinished_using(removal.session, upload.id)
    if users:
        raise InUse(
            f"{len(users)} unfinished job(s) need {upload.id}: {', '.join(users[:5])}.",
            suggestions=["Wait for them, or cancel them first."],
        )
    removal.session.delete(upload)
    removal.session.flush()
    removal.freed.append(upload.digest)


def remove_job(removal: Removal, job: Job) -> None:
    """Remove a job that the caller has locked, its trials, and the bytes of their files unless another row needs them.

    Raises:
        InUse: the job or one of its trials has not ended. Or the job is a trial: a retry of its sweep needs the reports
            of all trials.
    """
    session = removal.session
    if job.state not in FINAL:
        raise InUse(f"{job.id} is {job.state}.", suggestions=["Wait for it, or cancel it first."])
    if job.parent_id is not None:
        raise InUse(
            f"{job.id} is a trial of {job.parent_id}.",
            suggestions=[f"DELETE /v1/jobs/{job.parent_id}: its trials go with it."],
        )
    trials = sweep_trials.children(session, job.id, hold=True)  # waits until the files of ending trials are written
    if any(trial.state in UNFINISHED for trial in trials):
        raise InUse(f"Trials of {job.id} have not stopped yet.", suggestions=["Try again in a few seconds."])
    ids = [job.id, *(trial.id for trial in trials)]
    removal.freed.extend(session.scalars(select(Artifact.digest).where(Artifact.job_id.in_(ids))))
    kept = select(Job.checkpoint_digest).where(Job.id.in_(ids), Job.checkpoint_digest.is_not(None))
    removal.freed.extend(filter(None, session.scalars(kept)))
    session.execute(delete(Job).where(Job.id.in_(ids)))
    session.flush()


def expired_jobs(session: Session, *, now: datetime, limit: int) -> Sequence[str]:
    """Return ids of ended jobs that have expired. Trials are removed with their sweep."""
    over = select(Job.id).where(Job.expires_at < now, Job.state.in_(FINAL), Job.parent_id.is_(None))
    return session.scalars(over.where(Job.upload_id.is_(None)).order_by(Job.expires_at).limit(limit)).all()


def expired_uploads(session: Session, *, now: datetime, limit: int) -> Sequence[str]:
    """Return ids of uploads that have expired and that no unfinished job needs."""
    uses = or_(Job.model_id == Upload.id, Job.dataset_id == Upload.id)
    users = select(Job.id).where(uses, Job.state.in_(UNFINISHED))
    over = select(Upload.id).where(Upload.expires_at < now, ~users.exists())
    return session.scalars(over.order_by(Upload.expires_at).limit(limit)).all()
