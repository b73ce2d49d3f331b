"""The life of a job row. Every move is one compare-and-swap; who comes late changes nothing.

All functions work inside the caller's transaction, write the events that tell of what they do, and go by the
database's clock unless they are given a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from infra.db import clock
from infra.db.tables import Artifact, Job, JobLabel, Upload
from infra.jobs import events
from infra.jobs.events import Entry
from infra.jobs.steps import dump, reset_steps
from infra.jobs.transitions import entry, move
from infra.storage import blobs
from infra.webhooks import outbox
from secateur.errors import Failure
from secateur.ids import new_id
from secateur.protocol.keys import LOCAL_OWNER
from secateur.protocol.progress import StepProgress, planned
from secateur.protocol.states import RETRYABLE, UNFINISHED, JobState, UploadState, sources
from secateur.protocol.work import WorkKind
from secateur.specs.kinds import JobSpec, spec_digest

Why = Literal["worker_lost", "child_died", "service_fault", "drained", "retried"]
"""Why a job waits again."""


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
    session: Session,
    spec: JobSpec,
    *,
    owner: str = LOCAL_OWNER,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> Job:
    """Write a user's job, queued."""
    now = clock.read(session, now)
    job = Job(
        id=new_id("job"),
        owner=owner,
        kind=spec.kind,
        state=JobState.QUEUED,
        model_id=spec.model_id,
        dataset_id=spec.dataset_id,
        spec=spec.model_dump(mode="json"),
        spec_digest=spec_digest(spec),
        steps=dump(planned(spec)),
        attempt=0,
        created_at=now,
        pending_until=now + timedelta(seconds=spec.limits.max_pending_seconds),
        expires_at=expires_at,
    )
    _begin(session, job)
    session.add_all(JobLabel(job_id=job.id, key=key, value=value) for key, value in spec.labels.items())
    return job


def create_check(session: Session, upload: Upload, *, now: datetime | None = None) -> Job:
    """Write the job that checks an upload, queued."""
    kind: WorkKind = "check_model" if upload.kind == "model" else "check_dataset"
    job = Job(
        id=new_id("job"),
        owner=upload.owner,
        kind=kind,
        state=JobState.QUEUED,
        upload_id=upload.id,
        spec={},
        steps=dump([StepProgress(name="check")]),
        attempt=0,
        created_at=clock.read(session, now),
    )
    _begin(session, job)
    return job


def _begin(session: Session, job: Job) -> None:
    job.charged, job.last_event = 0, 1
    session.add(job)
    session.flush()
    events.write(session, job.id, 0, [entry(JobState.QUEUED)], last=1, at=job.created_at)


def claim(session: Session, job_id: str, *, lease_seconds: float, now: datetime | None = None) -> Job | None:
    """Take a job that is queued, or due: one of any number of claimants gets it, the others get None."""
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
    """Jobs that were let go until their trials have ended, which they have."""
    trial = aliased(Job)
    let_go = and_(Job.state == JobState.RUNNING, Job.lease_until.is_(None))
    unfinished = exists().where(trial.parent_id == Job.id, trial.state.in_(UNFINISHED))
    return and_(let_go, exists().where(trial.parent_id == Job.id), ~unfinished)


def held(job_id: str, attempt: int) -> ColumnElement[bool]:
    """The job, for as long as this attempt may write it."""
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
    """Extend the lease and save progress. Returns the state, or None when the attempt no longer holds the job."""
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
    """End a job with everything that it leaves, in one transaction. False when the attempt no longer holds it."""
    allowed = sources(outcome.state) & {JobState.RUNNING, JobState.CANCELLING}
    failure = outcome.failure.model_dump(mode="json") if outcome.failure else None
    job = move(
        session,
        held(job_id, attempt),
        Job.state.in_(allowed),
        now=now,
        entries=[*entries, entry(outcome.state, failure=failure)],
        state=outcome.state,
        failure=failure,
        steps=dump(steps),
        finished_at=clock.later(now),
        lease_until=None,
    )
    if job is None:
        return False
    for file in outcome.files:  # in place of those of an attempt that was tried again
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
    why: Why,
    detail: str = "",
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> bool:
    """Give a running job back, with fresh steps, so that another attempt can take it.

    An attempt whose worker shuts down (``drained``) is not charged: nobody can help it.
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
    """Ask a job to stop. Returns its new state, or None when it has ended already."""
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
    """Queue a job that ended without success for one more attempt. False when it is not one of those (any more)."""
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
    """When a job expires that begins again: it is kept for as long as it was to be kept at first."""
    return None if job.expires_at is None else clock.read(session, now) + (job.expires_at - job.created_at)


def mark_published(session: Session, job_id: str, *, now: datetime | None = None) -> None:
    """Remember that a message for this job was sent, so that the sweep does not send it at once again."""
    session.execute(update(Job).where(Job.id == job_id).values(published_at=clock.later(now)))
