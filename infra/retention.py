"""Removing uploads and jobs with their bytes: when their user says so, or when their time has come.

Functions work inside the caller's transaction; bytes go before it commits, so that a store which does not answer
leaves rows and bytes as they were.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from infra import blobs, job_list
from infra.store import Store
from infra.tables import Artifact, Job, Upload
from jobspec.errors import InUse
from jobspec.states import FINAL, UNFINISHED


def expiry(days: float, *, now: datetime) -> datetime | None:
    """When something of now expires that is kept for so many days; None, never, for 0.

    >>> from datetime import UTC
    >>> expiry(7, now=datetime(2026, 1, 1, tzinfo=UTC)).date()
    datetime.date(2026, 1, 8)
    """
    return now + timedelta(days=days) if days else None


def remove_upload(session: Session, store: Store, upload: Upload) -> None:
    """Remove an upload that the caller holds, its check, and its bytes unless something else needs them.

    Raises:
        InUse: unfinished jobs need it; says which.
    """
    users = job_list.unfinished_using(session, upload.id)
    if users:
        raise InUse(
            f"{len(users)} unfinished job(s) need {upload.id}: {', '.join(users[:5])}.",
            suggestions=["Wait for them, or cancel them first."],
        )
    session.delete(upload)
    session.flush()
    blobs.remove_unneeded(session, store, [upload.digest])


def remove_job(session: Session, store: Store, job: Job) -> None:
    """Remove a job that the caller holds, its trials, and the bytes of their files unless something else needs them.

    Raises:
        InUse: it has not ended, or it is a trial: a sweep that is tried again needs the reports of all.
    """
    if job.state not in FINAL:
        raise InUse(f"{job.id} is {job.state}.", suggestions=["Wait for it, or cancel it first."])
    if job.parent_id is not None:
        raise InUse(
            f"{job.id} is a trial of {job.parent_id}.",
            suggestions=[f"DELETE /v1/jobs/{job.parent_id}: its trials go with it."],
        )
    gone = select(Job.id).where(or_(Job.id == job.id, Job.parent_id == job.id))
    ids = session.scalars(gone).all()
    digests = session.scalars(select(Artifact.digest).where(Artifact.job_id.in_(ids))).all()
    session.execute(delete(Job).where(Job.id.in_(ids)))
    session.flush()
    blobs.remove_unneeded(session, store, digests)


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
