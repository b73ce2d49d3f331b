"""Reading jobs: one, a page of them, how many there are, what they left. Inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from infra.db.pages import newest_first, older
from infra.db.tables import Artifact, Job, JobLabel, Upload
from secateur.protocol.states import UNFINISHED, JobState
from secateur.specs.kinds import JobSpec, spec_digest


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; None means any."""

    owner: str | None = None
    state: JobState | None = None
    kind: str | None = None
    model_id: str | None = None
    dataset_id: str | None = None
    labels: Mapping[str, str] | None = None
    parent_id: str | None = None
    """None: all but the trials of other jobs."""

    def conditions(self) -> list[ColumnElement[bool]]:
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
    return session.get(Job, job_id)


def equivalent_job(session: Session, owner: str, spec: JobSpec) -> Job | None:
    """The owner's newest job that does, or has done, exactly what this spec asks for; none that ended without success.

    One with other labels is another job to its user, and so is one that has not ended and has other limits.
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
    """Jobs, newest first, that come after the position ``(created_at, id)``."""
    return newest_first(session, Job, select(Job).where(*wanted.conditions()), limit=limit, after=after)


def counts(session: Session, wanted: Filter) -> dict[JobState, int]:
    """How many of the wanted jobs are in each state."""
    rows = session.execute(select(Job.state, func.count()).where(*wanted.conditions()).group_by(Job.state))
    found = {JobState(state): count for state, count in rows}
    return {state: found.get(state, 0) for state in JobState}


def queue_position(session: Session, job: Job) -> int | None:
    """How many queued jobs of the same kind stand before this one; None when it does not wait."""
    if job.state != JobState.QUEUED:
        return None
    before = older(Job, (job.created_at, job.id))
    waiting = select(func.count()).where(Job.kind == job.kind, Job.state == JobState.QUEUED, before)
    return session.scalar(waiting)


def artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    """The files of a job, by name."""
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def unfinished_using(session: Session, upload_id: str) -> Sequence[str]:
    """Ids of users' jobs that still need this upload."""
    uses = or_(Job.model_id == upload_id, Job.dataset_id == upload_id)
    return session.scalars(select(Job.id).where(uses, Job.state.in_(UNFINISHED))).all()


def artifact_digests(
    session: Session, name: str, *, owner: str, model_digest: str, dataset_digest: str, limit: int
) -> tuple[str, ...]:
    """Digests of the files of this name that an owner's jobs on the same model and data left, the newest first.

    Contents count, not ids: the same bytes uploaded with another scale are another data set with the same digest. What
    somebody else has measured stays theirs, and so does the fact that they have the same model.
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
