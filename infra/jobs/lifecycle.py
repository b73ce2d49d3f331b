"""The life cycle of a job's row. Every move is one compare-and-swap, so a late writer changes nothing.

All functions work inside the caller's transaction, write the events of the move, and use the database's clock unless
they get ``now``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from infra.db import clock
from infra.db.tables import Artifact, Job, Upload
from infra.jobs.events import Entry
from infra.jobs.steps import dump, ended_steps, reset_steps
from infra.jobs.transitions import cancelled_steps, entry, move
from infra.storage import blobs
from infra.webhooks import outbox
from secateur.errors import Failure
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import RETRYABLE, UNFINISHED, JobState, UploadState, sources

RequeueReason = Literal["worker_lost", "child_died", "service_fault", "drained", "retried"]
"""Why a job returned to the queue."""


@dataclass(frozen=True)
class StoredFile:
    """An artifact whose bytes are already in the store."""

    name: str
    media_type: str
    digest: str
    num_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``summary`` is the result of an upload's check."""

    state: JobState
    failure: Failure | None = None
    files: Sequence[StoredFile] = ()
    summary: Mapping[str, Any] | None = None


def claim(session: Session, job_id: str, *, lease_seconds: float, now: datetime | None = None) -> Job | None:
    """Claim a job that is queued or due. One of any number of workers gets it, the others get None."""
    return move(
        session,
        Job.id == job_id,
        or_(Job.state == JobState.QUEUED, due()),
        now=now,
        entries=[entry(JobState.RUNNING)],
        state=JobState.RUNNING,
        attempt=Job.attempt + 1,
        charged=Job.charged + 1,
        lease_until=clock.later(now, lease_seconds),
        started_at=func.coalesce(Job.started_at, clock.later(now)),
    )


def due() -> ColumnElement[bool]:
    """Return the condition for sweeps whose trials have all ended, and which no worker holds."""
    trial = aliased(Job)
    let_go = and_(Job.state == JobState.RUNNING, Job.lease_until.is_(None))
    unfinished = exists().where(trial.parent_id == Job.id, trial.state.in_(UNFINISHED))
    return and_(let_go, exists().where(trial.parent_id == Job.id), ~unfinished)


def held(job_id: str, attempt: int) -> ColumnElement[bool]:
    """Return the condition that this attempt still holds the job, and may write it."""
    held = and_(Job.state.in_([JobState.RUNNING, JobState.CANCELLING]), Job.lease_until.is_not(None))
    return and_(Job.id == job_id, Job.attempt == attempt, held)


def renew(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    steps: Iterable[StepProgress],
    lease_seconds: float,
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> JobState | None:
    """Extend the lease and save progress.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        attempt: the attempt of the caller.
        steps: the steps with their progress.
        lease_seconds: how long the lease lasts from now.
        entries: events to write.
        now: the time of the heartbeat.

    Returns:
        The state of the job; None if the attempt no longer holds it.
    """
    lease = clock.later(now, lease_seconds)
    job = move(session, held(job_id, attempt), now=now, entries=entries, lease_until=lease, steps=dump(steps))
    return None if job is None else JobState(job.state)


def finish(
    session: Session,
    job_id: str,
    attempt: int,
    outcome: Outcome,
    *,
    steps: Iterable[StepProgress],
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> bool:
    """End a job and write its artifacts, in one transaction.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        attempt: the attempt of the caller.
        outcome: how the attempt ended.
        steps: the steps at the end. A step that is still running ends as the job does.
        entries: events to write.
        now: the time of the end.

    Returns:
        False if the attempt no longer holds the job.
    """
    allowed = sources(outcome.state) & {JobState.RUNNING, JobState.CANCELLING}
    failure = outcome.failure.model_dump(mode="json") if outcome.failure else None
    ended = ended_steps(steps, outcome.state)
    job = move(
        session,
        held(job_id, attempt),
        Job.state.in_(allowed),
        now=now,
        entries=[*entries, *cancelled_steps(ended), entry(outcome.state, failure=failure)],
        state=outcome.state,
        failure=failure,
        steps=dump(ended),
        finished_at=clock.later(now),
        lease_until=None,
    )
    if job is None:
        return False
    for file in outcome.files:  # replaces the files of an earlier attempt
        session.merge(Artifact(job_id=job_id, **vars(file)))
    blobs.release(session, job_id)
    if job.upload_id is not None:
        _settle_upload(session, job.upload_id, outcome, now=clock.read(session, now))
    return True


def _settle_upload(session: Session, upload_id: str, outcome: Outcome, *, now: datetime) -> None:
    ready = outcome.state == JobState.SUCCEEDED
    upload = session.execute(
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == UploadState.CHECKING)
        .values(
            state=UploadState.READY if ready else UploadState.REJECTED,
            summary=dict(outcome.summary) if ready and outcome.summary is not None else None,
            failure=outcome.failure.model_dump(mode="json") if outcome.failure else None,
        )
        .returning(Upload)
    ).scalar_one_or_none()
    if upload is not None:
        outbox.queue_upload_notice(session, upload, now=now)


def requeue(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    why: RequeueReason,
    detail: str = "",
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> bool:
    """Return a running job to the queue for another attempt, with its steps reset.

    An attempt whose worker shuts down (``drained``) is not charged, because the job did not cause it.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        attempt: the attempt that ends.
        why: the reason, for programs.
        detail: the reason, for people.
        entries: events to write.
        now: the time of the move.

    Returns:
        False if the attempt no longer holds the job, or the job is being cancelled.
    """
    drained = why == "drained"
    job = move(
        session,
        held(job_id, attempt),
        Job.state == JobState.RUNNING,
        now=now,
        entries=[*entries, entry(JobState.QUEUED, level="info" if drained else "warning", why=why, detail=detail)],
        state=JobState.QUEUED,
        charged=Job.charged - (1 if drained else 0),
        lease_until=None,
        published_at=None,
    )
    if job is not None:
        job.steps = reset_steps(job)
        blobs.release(session, job_id)
    return job is not None


def cancel(session: Session, job_id: str, *, now: datetime | None = None) -> JobState | None:
    """Ask a job to stop. Return its new state, or None if it has ended already."""
    here, state = Job.id == job_id, JobState.CANCELLED
    ended = clock.later(now)
    if move(
        session, here, Job.state == JobState.QUEUED, now=now, entries=[entry(state)], state=state, finished_at=ended
    ):
        return state
    state = JobState.CANCELLING
    if move(session, here, Job.state == JobState.RUNNING, now=now, entries=[entry(state)], state=state):
        return state
    return state if session.scalar(select(Job.id).where(here, Job.state == state)) else None


def retry(session: Session, job: Job, *, now: datetime | None = None) -> bool:
    """Queue a job that ended without success for one more attempt. Return False if it is in another state."""
    pending = None if job.parent_id else clock.later(now, job.spec["limits"]["max_pending_seconds"])
    again = move(
        session,
        Job.id == job.id,
        Job.state.in_(RETRYABLE),
        now=now,
        entries=[entry(JobState.QUEUED, why="retried")],
        state=JobState.QUEUED,
        charged=0,
        failure=None,
        started_at=None,
        finished_at=None,
        published_at=None,
        pending_until=pending,
        expires_at=retention_from_now(session, job, now=now),
    )
    if again is not None:
        again.steps = reset_steps(again)
    return again is not None


def retention_from_now(session: Session, job: Job, *, now: datetime | None = None) -> datetime | None:
    """Return when a retried job expires: it is kept as long as it was to be kept at first, counted from now."""
    return None if job.expires_at is None else clock.read(session, now) + (job.expires_at - job.created_at)


def mark_published(session: Session, job_id: str, *, now: datetime | None = None) -> None:
    """Write that a message for this job was sent, so that reapers do not send it again at once."""
    session.execute(update(Job).where(Job.id == job_id).values(published_at=clock.later(now)))
