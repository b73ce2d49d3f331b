"""Writes the rows of new jobs. Inside the caller's transaction."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Job, JobLabel, Upload
from infra.jobs import events
from infra.jobs.steps import dump
from infra.jobs.transitions import entry
from secateur.ids import new_id
from secateur.protocol.keys import LOCAL_OWNER
from secateur.protocol.progress import StepProgress, planned
from secateur.protocol.states import JobState
from secateur.protocol.work import WorkKind
from secateur.specs.kinds import JobSpec, spec_digest


def create_job(
    session: Session,
    spec: JobSpec,
    *,
    owner: str = LOCAL_OWNER,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> Job:
    """Write a user's job in state queued.

    Args:
        session: the caller's transaction.
        spec: the validated spec.
        owner: to whom the job belongs.
        expires_at: when the ended job is removed; None: never.
        now: the time of creation.
    """
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
    """Write the job that checks an upload, in state queued."""
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
