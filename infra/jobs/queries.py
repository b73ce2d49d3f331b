"""Queries of jobs: one job, pages, counts, artifacts. Inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from infra.db.pages import newest_first, older
from infra.db.tables import Artifact, Job, JobLabel, Upload
from secateur.protocol.states import UNFINISHED, JobState
from secateur.protocol.work import QUEUE_OF
from secateur.specs.kinds import JobSpec, spec_digest


@dataclass(frozen=True)
class Filter:
    """Which jobs to list. None means any."""

    owner: str | None = None
    state: JobState | None = None
    kind: str | None = None
    model_id: str | None = None
    dataset_id: str | None = None
    labels: Mapping[str, str] | None = None
    parent_id: str | None = None
    """None: all jobs except trials."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL conditions."""
        wanted: list[ColumnElement[bool]] = [Job.upload_id.is_(None)] if self.kind is None else [Job.kind == self.kind]
        if self.parent_id is not None:
            wanted.append(Job.parent_id == self.parent_id)
        else:
            wanted.append(Job.parent_id.is_(None))
        if self.owner is not None:
            wanted.append(Job.owner == self.owner)
        if self.state is not None:
            wanted.append(Job.state == self.state)
        if self.model_id is not None:
            wanted.append(Job.model_id == self.model_id)
        if self.dataset_id is not None:
            wanted.append(Job.dataset_id == self.dataset_id)
        for key, value in (self.labels or {}).items():
            wanted.append(
                select(JobLabel).where(JobLabel.job_id == Job.id, JobLabel.key == key, JobLabel.value == value).exists()
            )
        return wanted


def get(session: Session, job_id: str) -> Job | None:
    """Return the row of a job, or None."""
    return session.get(Job, job_id)


def equivalent_job(session: Session, owner: str, spec: JobSpec) -> Job | None:
    """Return the owner's newest job that does the same work as this spec. Jobs that ended without success do not count.

    A job with other labels is a different job, and so is an unfinished job with other limits.
    """
    asked = spec.model_dump(mode="json", include={"labels", "limits"})
    same = (Job.owner == owner, Job.spec_digest == spec_digest(spec), Job.parent_id.is_(None))
    useful = Job.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
    for job in session.scalars(select(Job).where(*same, useful).order_by(Job.created_at.desc(), Job.id.desc())):
        has_ended = job.state == JobState.SUCCEEDED
        if job.spec["labels"] == asked["labels"] and (has_ended or job.spec["limits"] == asked["limits"]):
            return job
    return None


def page(session: Session, wanted: Filter, *, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Job]:
    """Return the jobs that come after the position ``(created_at, id)``, newest first."""
    return newest_first(session, Job, select(Job).where(*wanted.conditions()), limit=limit, after=after)


def counts(session: Session, wanted: Filter) -> dict[JobState, int]:
    """Return how many of the jobs are in each state."""
    rows = session.execute(select(Job.state, func.count()).where(*wanted.conditions()).group_by(Job.state))
    found = {JobState(state): count for state, count in rows}
    return {state: found.get(state, 0) for state in JobState}


def queue_position(session: Session, job: Job) -> int | None:
    """Return how many older jobs wait for the same workers, of all kinds and owners; None if the job is not queued."""
    if job.state != JobState.QUEUED:
        return None
    before = older(Job, (job.created_at, job.id))
    queue = QUEUE_OF[job.kind]  # type: ignore[index]
    kinds = [kind for kind, its_queue in QUEUE_OF.items() if its_queue == queue]
    waiting = select(func.count()).where(Job.kind.in_(kinds), Job.state == JobState.QUEUED, before)
    return session.scalar(waiting)


def artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    """Return the files of a job, sorted by name."""
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def unfinished_using(session: Session, upload_id: str) -> Sequence[str]:
    """Return the ids of unfinished jobs that use this upload."""
    uses = or_(Job.model_id == upload_id, Job.dataset_id == upload_id)
    return session.scalars(select(Job.id).where(uses, Job.state.in_(UNFINISHED))).all()


def artifact_digests(
    session: Session, name: str, *, owner: str, model_digest: str, dataset_digest: str, limit: int
) -> tuple[str, ...]:
    """Return the digests of artifacts with this name from the owner's jobs on the same model and data, newest first.

    Model and data set are compared by digest, not by id: the same bytes uploaded with another scale are another data
    set with the same digest. Measurements of other owners are not used, and do not reveal that they have the same
    model.

    Args:
        session: the caller's transaction.
        name: of the artifact.
        owner: of the jobs.
        model_digest: of the model's file.
        dataset_digest: of the data set's file.
        limit: most digests to return.
    """
    model, dataset = aliased(Upload), aliased(Upload)
    last = func.max(Job.finished_at)
    query = (
        select(Artifact.digest)
        .join(Job, Job.id == Artifact.job_id)
        .join(model, model.id == Job.model_id)
        .join(dataset, dataset.id == Job.dataset_id)
        .where(
            Job.owner == owner, Artifact.name == name, model.digest == model_digest, dataset.digest == dataset_digest
        )
        .group_by(Artifact.digest)
        .order_by(last.desc(), Artifact.digest)
        .limit(limit)
    )
    return tuple(session.scalars(query))
