"""The life of a job row. Every move is one compare-and-swap; who comes late changes nothing.

All functions work inside the caller's transaction and take the time as an argument.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from infra import blobs
from infra.tables import Artifact, Job, JobLabel, Upload
from jobspec.errors import Failure, PendingTimeExceeded, WorkerCrashed
from jobspec.ids import new_id
from jobspec.keys import LOCAL_OWNER
from jobspec.kinds import JobSpec, spec_digest
from jobspec.progress import StepProgress, planned
from jobspec.states import UNFINISHED, JobState, StepState, UploadState, sources
from jobspec.work import WorkKind


@dataclass(frozen=True)
class StoredFile:
    """An artifact whose bytes are already in the store."""

    name: str
    media_type: str
    digest: str
    num_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``summary`` is what the check of an upload found out."""

    state: JobState
    failure: Failure | None = None
    files: Sequence[StoredFile] = ()
    summary: Mapping[str, Any] | None = None


def create(
    session: Session, spec: JobSpec, *, owner: str = LOCAL_OWNER, expires_at: datetime | None = None, now: datetime
) -> Job:
    """Write a user's job, queued."""
    job = Job(
        id=new_id("job"),
        owner=owner,
        kind=spec.kind,
        state=JobState.QUEUED,
        model_id=spec.model_id,
        dataset_id=spec.dataset_id,
        spec=spec.model_dump(mode="json"),
        spec_digest=spec_digest(spec),
        steps=_dump(planned(spec)),
        attempt=0,
        created_at=now,
        pending_until=now + timedelta(seconds=spec.limits.max_pending_seconds),
        expires_at=expires_at,
    )
    session.add(job)
    session.flush()
    session.add_all(JobLabel(job_id=job.id, key=key, value=value) for key, value in spec.labels.items())
    return job


def create_check(session: Session, upload: Upload, *, now: datetime) -> Job:
    """Write the job that checks an upload, queued."""
    kind: WorkKind = "check_model" if upload.kind == "model" else "check_dataset"
    job = Job(
        id=new_id("job"),
        owner=upload.owner,
        kind=kind,
        state=JobState.QUEUED,
        upload_id=upload.id,
        spec={},
        steps=_dump([StepProgress(name="check")]),
        attempt=0,
        created_at=now,
    )
    session.add(job)
    return job


def claim(session: Session, job_id: str, *, lease_seconds: float, now: datetime) -> Job | None:
    """Take a job that is queued, or due: one of any number of claimants gets it, the others get None."""
    return session.execute(
        update(Job)
        .where(Job.id == job_id, or_(Job.state == JobState.QUEUED, due()))
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            lease_until=now + timedelta(seconds=lease_seconds),
            started_at=func.coalesce(Job.started_at, now),
        )
        .returning(Job)
    ).scalar_one_or_none()


def due() -> ColumnElement[bool]:
    """Jobs that were let go until their trials have ended, which they have."""
    trial = aliased(Job)
    let_go = and_(Job.state == JobState.RUNNING, Job.lease_until.is_(None))
    unfinished = exists().where(trial.parent_id == Job.id, trial.state.in_(UNFINISHED))
    return and_(let_go, exists().where(trial.parent_id == Job.id), ~unfinished)


def _held(job_id: str, attempt: int) -> ColumnElement[bool]:
    held = and_(Job.state.in_([JobState.RUNNING, JobState.CANCELLING]), Job.lease_until.is_not(None))
    return and_(Job.id == job_id, Job.attempt == attempt, held)


def renew(
    session: Session, job_id: str, attempt: int, *, steps: Iterable[StepProgress], lease_seconds: float, now: datetime
) -> JobState | None:
    """Extend the lease and save progress. Returns the state, or None when the attempt no longer holds the job."""
    state = session.execute(
        update(Job)
        .where(_held(job_id, attempt))
        .values(lease_until=now + timedelta(seconds=lease_seconds), steps=_dump(steps))
        .returning(Job.state)
    ).scalar_one_or_none()
    return None if state is None else JobState(state)


def finish(
    session: Session, job_id: str, attempt: int, outcome: Outcome, *, steps: Iterable[StepProgress], now: datetime
) -> bool:
    """End a job with everything that it leaves, in one transaction. False when the attempt no longer holds it."""
    allowed = sources(outcome.state) & {JobState.RUNNING, JobState.CANCELLING}
    upload_id = session.execute(
        update(Job)
        .where(_held(job_id, attempt), Job.state.in_(allowed))
        .values(
            state=outcome.state,
            failure=outcome.failure.model_dump(mode="json") if outcome.failure else None,
            steps=_dump(steps),
            finished_at=now,
            lease_until=None,
        )
        .returning(Job.id, Job.upload_id)
    ).one_or_none()
    if upload_id is None:
        return False
    session.add_all(Artifact(job_id=job_id, **vars(file)) for file in outcome.files)
    blobs.let_go(session, job_id)
    if upload_id[1] is not None:
        _settle_upload(session, upload_id[1], outcome)
    return True


def _settle_upload(session: Session, upload_id: str, outcome: Outcome) -> None:
    ready = outcome.state == JobState.SUCCEEDED
    session.execute(
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == UploadState.CHECKING)
        .values(
            state=UploadState.READY if ready else UploadState.REJECTED,
            summary=dict(outcome.summary) if ready and outcome.summary is not None else None,
            failure=outcome.failure.model_dump(mode="json") if outcome.failure else None,
        )
    )


def requeue(session: Session, job_id: str, attempt: int) -> bool:
    """Give a running job back, with fresh steps, so that another attempt can take it."""
    job = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
        .values(state=JobState.QUEUED, lease_until=None, published_at=None)
        .returning(Job)
    ).scalar_one_or_none()
    if job is None:
        return False
    kept = {StepState.SUCCEEDED} if job.kind == "sweep" else set()  # what a sweep did before its trials stays done
    job.steps = _dump(step if step.state in kept else StepProgress(name=step.name) for step in steps_of(job))
    return True


def cancel(session: Session, job_id: str, *, now: datetime) -> JobState | None:
    """Ask a job to stop. Returns its new state, or None when it has ended already."""
    waiting = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(state=JobState.CANCELLED, finished_at=now)
        .returning(Job.state)
    ).scalar_one_or_none()
    if waiting is not None:
        return JobState.CANCELLED
    running = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state.in_([JobState.RUNNING, JobState.CANCELLING]))
        .values(state=JobState.CANCELLING)
        .returning(Job.state)
    ).scalar_one_or_none()
    return JobState.CANCELLING if running is not None else None


def mark_published(session: Session, job_id: str, *, now: datetime) -> None:
    """Remember that a message for this job was sent, so that the sweep does not send it at once again."""
    session.execute(update(Job).where(Job.id == job_id).values(published_at=now))


def sweep(session: Session, *, max_attempts: int, resend_seconds: float, now: datetime) -> list[Job]:
    """Set right what crashes left behind. Returns the jobs to be taken whose message is due to be sent (again).

    Jobs whose lease ran out go back to the queue, or fail when they have had ``max_attempts``; jobs that waited past
    their limit, and never started, expire. Safe to run at any time, any number of times, side by side.
    """
    lapsed = session.scalars(
        select(Job)
        .where(Job.state.in_([JobState.RUNNING, JobState.CANCELLING]), Job.lease_until < now)
        .with_for_update(skip_locked=True)
    ).all()
    for job in lapsed:
        if job.state == JobState.CANCELLING:
            finish(session, job.id, job.attempt, Outcome(JobState.CANCELLED), steps=steps_of(job), now=now)
        elif job.attempt >= max_attempts:
            crash = WorkerCrashed(
                f"The worker was lost in each of {job.attempt} attempts.",
                suggestions=["Try a smaller batch_size: running out of memory is the most common reason."],
            )
            outcome = Outcome(JobState.FAILED, crash.failure(running_step(job)))
            finish(session, job.id, job.attempt, outcome, steps=steps_of(job), now=now)
        else:
            requeue(session, job.id, job.attempt)
    overdue = PendingTimeExceeded(
        "No worker took the job within limits.max_pending_seconds.",
        suggestions=["Start another worker, or raise limits.max_pending_seconds."],
    )
    session.execute(
        update(Job)
        .where(Job.state == JobState.QUEUED, Job.started_at.is_(None), Job.pending_until < now)
        .values(state=JobState.EXPIRED, finished_at=now, failure=overdue.failure().model_dump(mode="json"))
    )
    unsent = or_(Job.published_at.is_(None), Job.published_at < now - timedelta(seconds=resend_seconds))
    wanted = select(Job).where(or_(Job.state == JobState.QUEUED, due()), unsent)
    return list(session.scalars(wanted.order_by(Job.created_at, Job.position)))


def steps_of(job: Job) -> tuple[StepProgress, ...]:
    """The steps of a row, as models."""
    return tuple(StepProgress.model_validate(step) for step in job.steps)


def running_step(job: Job) -> str | None:
    """The name of the step that was under way."""
    return next((step.name for step in steps_of(job) if step.state == StepState.RUNNING), None)


def _dump(steps: Iterable[StepProgress]) -> list[dict[str, Any]]:
    return [step.model_dump(mode="json") for step in steps]
