"""Removing uploads and jobs with their bytes: when their user says so, or when their time has come.

Rows go first, in one transaction; their bytes go when that has been committed (``removing``).
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
    """When something of now expires that is kept for so many days; None, never, for 0.

    >>> from datetime import UTC
    >>> expiry(7, now=datetime(2026, 1, 1, tzinfo=UTC)).date()
    datetime.date(2026, 1, 8)
    """
    return now + timedelta(days=days) if days else None


@dataclass(frozen=True)
class Removal:
    """A transaction in which rows go, and the digests of the bytes that they needed."""

    session: Session
    freed: list[str] = field(default_factory=list)


@contextmanager
def removing(database: Database, store: Store) -> Iterator[Removal]:
    """A transaction for removals. When it has been committed, the bytes go that no row needs any more.

    Should the store not answer then, or this process end, they stay without a row, and the next collection finds them.

    Raises:
        Whatever the block or its commit raises; then rows and bytes are as they were.
    """
    with database.write() as session:
        removal = Removal(session)
        yield removal
    try:
        blobs.remove_unneeded(database, store, removal.freed)
    except ServiceError as fault:
        logger("retention").warning("bytes left to the collector", fault=fault.detail, num_digests=len(removal.freed))


def remove_upload(removal: Removal, upload: Upload) -> None:
    """Remove an upload that the caller holds, its check, and its bytes unless something else needs them.

    Raises:
        InUse: unfinished jobs need it; says which.
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
    """Remove a job that the caller holds, its trials, and the bytes of their files unless something else needs them.

    Raises:
        InUse: it has not ended, or its trials have not, or it is a trial: a sweep that is tried again needs the
            reports of all.
    """
    session = removal.session
    if job.state not in FINAL:
        raise InUse(f"{job.id} is {job.state}.", suggestions=["Wait for it, or cancel it first."])
    if job.parent_id is not None:
        raise InUse(
            f"{job.id} is a trial of {job.parent_id}.",
            suggestions=[f"DELETE /v1/jobs/{job.parent_id}: its trials go with it."],
        )
    trials = sweep_trials.children(session, job.id, hold=True)  # one that is just ending has its files by then
    if any(trial.state in UNFINISHED for trial in trials):
        raise InUse(f"Trials of {job.id} have not stopped yet.", suggestions=["Try again in a few seconds."])
    ids = [job.id, *(trial.id for trial in trials)]
    removal.freed.extend(session.scalars(select(Artifact.digest).where(Artifact.job_id.in_(ids))))
    kept = select(Job.checkpoint_digest).where(Job.id.in_(ids), Job.checkpoint_digest.is_not(None))
    removal.freed.extend(filter(None, session.scalars(kept)))
    session.execute(delete(Job).where(Job.id.in_(ids)))
    session.flush()


def expired_jobs(session: Session, *, now: datetime, limit: int) -> Sequence[str]:
    """Ids of jobs that have ended and whose time has come. Trials go with their sweep."""
    over = select(Job.id).where(Job.expires_at < now, Job.state.in_(FINAL), Job.parent_id.is_(None))
    return session.scalars(over.where(Job.upload_id.is_(None)).order_by(Job.expires_at).limit(limit)).all()


def expired_uploads(session: Session, *, now: datetime, limit: int) -> Sequence[str]:
    """Ids of uploads whose time has come and that no unfinished job needs."""
    uses = or_(Job.model_id == Upload.id, Job.dataset_id == Upload.id)
    users = select(Job.id).where(uses, Job.state.in_(UNFINISHED))
    over = select(Upload.id).where(Upload.expires_at < now, ~users.exists())
    return session.scalars(over.order_by(Upload.expires_at).limit(limit)).all()
