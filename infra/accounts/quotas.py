"""Quotas of owners: stored bytes, queued jobs, running jobs, queued checks. Inside the caller's transaction.

A limit of 0 means no limit. A caller that checks a limit and then writes locks the owner first, so that two requests
cannot both take the last place.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from infra.db import locks
from infra.db.tables import Artifact, Job, ResumableUpload, Upload
from infra.jobs import checks, lifecycle
from secateur.errors import QuotaExceeded
from secateur.protocol.states import JobState, UploadState


@dataclass(frozen=True)
class Usage:
    """The usage of an owner, or its limits."""

    stored_bytes: int
    queued_jobs: int
    running_jobs: int
    queued_checks: int


LimitsOf = Callable[[Session, str], Usage]
"""Returns the limits of an owner, given its name."""


def usage(session: Session, owner: str) -> Usage:
    """Return the usage of an owner. Bytes count for each upload and file, also where two have the same content."""
    return Usage(
        stored_bytes=stored_bytes(session, owner),
        queued_jobs=_count(session, owner, _queued()),
        running_jobs=_count(session, owner, _running()),
        queued_checks=_count(session, owner, checks.queued()),
    )


def stored_bytes(session: Session, owner: str) -> int:
    """Return the bytes of an owner's uploads, unfinished ones included, and of its jobs' artifacts and checkpoints.

    Rejected uploads do not count.
    """
    announced = select(func.coalesce(func.sum(ResumableUpload.num_bytes), 0)).where(
        ResumableUpload.owner == owner, ResumableUpload.upload_id.is_(None), ResumableUpload.failure.is_(None)
    )
    uploaded = select(func.coalesce(func.sum(Upload.num_bytes), 0)).where(
        Upload.owner == owner, Upload.state != UploadState.REJECTED
    )
    left = (
        select(func.coalesce(func.sum(Artifact.num_bytes), 0))
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.owner == owner)
    )
    kept = select(func.coalesce(func.sum(Job.checkpoint_bytes), 0)).where(Job.owner == owner)
    return sum(int(session.scalar(part) or 0) for part in (uploaded, announced, left, kept))


def check_storage(session: Session, owner: str, more_bytes: int, limits: Usage) -> None:
    """Raise ``QuotaExceeded`` unless the owner may store ``more_bytes`` more bytes."""
    if not limits.stored_bytes:
        return
    used = stored_bytes(session, owner)
    if used + more_bytes > limits.stored_bytes:
        raise QuotaExceeded(
            f"{owner} stores {used} bytes; {more_bytes} more would exceed the {limits.stored_bytes} that are allowed.",
            suggestions=[
                "Delete models, data sets or jobs that are no longer needed.",
                "GET /v1/usage shows the limits.",
            ],
        )


def check_queue(session: Session, owner: str, limits: Usage) -> None:
    """Raise ``QuotaExceeded`` unless one more job may be queued. The trials of a sweep do not count."""
    if not limits.queued_jobs:
        return
    waiting = _count(session, owner, _queued())
    if waiting >= limits.queued_jobs:
        raise QuotaExceeded(
            f"{owner} has {waiting} jobs in the queue; {limits.queued_jobs} are allowed.",
            suggestions=["Wait until some have begun, or cancel them.", "GET /v1/usage shows the limits."],
        )


def check_queued_checks(session: Session, owner: str, limits: Usage, *, more: int = 1) -> None:
    """Raise ``QuotaExceeded`` unless ``more`` uploads may wait for their checks, besides those that wait already."""
    if not limits.queued_checks:
        return
    waiting = _count(session, owner, checks.queued())
    if waiting + more > limits.queued_checks:
        raise QuotaExceeded(
            f"{owner} may have {limits.queued_checks} uploads that wait for their check, and has as many.",
            suggestions=["Wait until some have been checked.", "GET /v1/usage shows the limits."],
        )


def claim(
    session: Session, job_id: str, limits_of: LimitsOf, *, lease_seconds: float, now: datetime | None = None
) -> Job | None:
    """Claim a job (``lifecycle.claim``) unless its owner has as many running jobs as allowed.

    A job that is not claimed for this reason stays queued without a message, and the slot is free for other owners. Its
    message is sent when another job of the owner ends, or by a reaper.
    """
    job = session.get(Job, job_id)
    if job is not None and job.upload_id is None and (most := limits_of(session, job.owner).running_jobs):
        locks.hold(session, "owner", [job.owner])
        if _count(session, job.owner, _running()) >= most:
            session.execute(update(Job).where(Job.id == job_id).values(published_at=None))
            return None
    return lifecycle.claim(session, job_id, lease_seconds=lease_seconds, now=now)


def startable(session: Session, waiting: Iterable[Job], limits_of: LimitsOf) -> list[Job]:
    """Return the waiting jobs that their owners may run now, in the same order. Checks of uploads may always run."""
    found = list(waiting)
    most = {owner: limits_of(session, owner).running_jobs for owner in {job.owner for job in found}}
    if not any(most.values()):
        return found
    running = select(Job.owner, func.count()).where(_running()).group_by(Job.owner)
    taken: dict[str, int] = {owner: count for owner, count in session.execute(running)}  # noqa: C416
    chosen = []
    for job in found:
        if job.upload_id is None:
            taken[job.owner] = taken.get(job.owner, 0) + 1
            if most[job.owner] and taken[job.owner] > most[job.owner]:
                continue
        chosen.append(job)
    return chosen


def next_in_line(session: Session, owner: str, limits: Usage) -> Job | None:
    """Return the job that may start after a job of its owner has ended, if one waits for that without a message."""
    if not limits.running_jobs or _count(session, owner, _running()) >= limits.running_jobs:
        return None
    waiting = select(Job).where(Job.owner == owner, Job.upload_id.is_(None), Job.published_at.is_(None))
    ready = waiting.where((Job.state == JobState.QUEUED) | lifecycle.due())
    return session.scalar(ready.order_by(Job.created_at, Job.position).limit(1))


def _queued() -> ColumnElement[bool]:
    return and_(Job.state == JobState.QUEUED, Job.upload_id.is_(None), Job.parent_id.is_(None))


def _running() -> ColumnElement[bool]:
    """Return the condition for jobs that a worker holds. A sweep that waits for its trials does not count."""
    held = and_(Job.state.in_([JobState.RUNNING, JobState.CANCELLING]), Job.lease_until.is_not(None))
    return and_(held, Job.upload_id.is_(None))


def _count(session: Session, owner: str, which: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Job).where(Job.owner == owner, which)) or 0
