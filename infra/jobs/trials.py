"""Sweeps and their trials: a sweep fans out into jobs, waits without a worker until all have ended, and gathers them.

While its trials run, the parent is ``running`` without a lease: no worker holds it. When no trial is unfinished, the
parent is due (``lifecycle.due``), and can be claimed like a queued job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Artifact, Job
from infra.jobs import creation, lifecycle
from infra.jobs import steps as job_steps
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from infra.jobs.transitions import cancelled_steps, entry, move
from infra.storage import blobs
from secateur.errors import NotRetryable
from secateur.protocol.events import Level
from secateur.protocol.progress import TRIALS, StepProgress
from secateur.protocol.states import FINAL, RETRYABLE, UNFINISHED, JobState, StepState
from secateur.specs.spec import CompressSpec


@dataclass(frozen=True)
class Count:
    """How many trials a parent has, and how many of them have ended or are running."""

    total: int
    ended: int
    running: int


def fan_out(
    session: Session,
    job: Job,
    outcome: Outcome,
    children: Sequence[CompressSpec],
    *,
    steps: Sequence[StepProgress],
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> list[Job]:
    """End the first half of a sweep: write its artifacts and its trials, and release it until they have ended.

    The second half is another attempt. Both halves together are charged as one attempt.

    Args:
        session: the caller's transaction.
        job: the sweep.
        outcome: the files of the first half.
        children: the specs of the trials.
        steps: the sweep's steps.
        entries: events to write.
        now: the time of the move.

    Returns:
        The queued trials; none if the attempt no longer holds the job, or its user has cancelled it.
    """
    now = clock.read(session, now)
    let_go = move(
        session,
        lifecycle.held(job.id, job.attempt),
        Job.state == JobState.RUNNING,
        now=now,
        entries=[*entries, Entry("trial", {"num_trials": len(children)})],
        lease_until=None,
        published_at=now,
        charged=Job.charged - 1,
        steps=job_steps.dump(steps),
    )
    if let_go is None:
        return []
    for file in outcome.files:
        session.merge(Artifact(job_id=job.id, **vars(file)))
    blobs.release(session, job.id)
    rows = []
    for position, spec in enumerate(children):
        row = creation.create_job(
            session, spec, owner=job.owner, now=now + timedelta(microseconds=position)
        )  # in lists and queues in this order
        row.parent_id, row.position = job.id, position
        row.pending_until = None  # the sweep started in time; its trials may wait for each other
        rows.append(row)
    return rows


def children(session: Session, job_id: str, *, hold: bool = False) -> Sequence[Job]:
    """Return the trials of a job in their order. ``hold`` locks their rows, after workers that are just ending one."""
    trials = select(Job).where(Job.parent_id == job_id).order_by(Job.position)
    return session.scalars(trials.with_for_update() if hold else trials).all()


def due_parent(session: Session, job: Job) -> Job | None:
    """Return the parent of a job that has just ended, if it was the last unfinished trial."""
    if job.parent_id is None:
        return None
    return session.scalar(select(Job).where(Job.id == job.parent_id, lifecycle.due()))


def count(session: Session, job_id: str) -> Count:
    """Return how many trials a job has, and how many have ended or are running."""
    rows = session.execute(select(Job.state, func.count()).where(Job.parent_id == job_id).group_by(Job.state))
    found = {JobState(state): number for state, number in rows}
    ended = sum(number for state, number in found.items() if state in FINAL)
    return Count(sum(found.values()), ended, found.get(JobState.RUNNING, 0))


def seconds(session: Session, job_id: str) -> float:
    """Return the seconds from the start of the first trial to the latest end of any trial; 0 before that."""
    times = select(func.min(Job.started_at), func.max(Job.finished_at)).where(Job.parent_id == job_id)
    began, last = session.execute(times).one()  # not until now: the value must not change without an event
    return float((last - began).total_seconds()) if began and last else 0.0


def steps_of(session: Session, job: Job) -> tuple[StepProgress, ...]:
    """Return the steps of a job. For a sweep that waits for its trials, they contain the progress of the trials."""
    steps = job_steps.steps_of(job)
    if job.kind != "sweep" or job.state not in (JobState.RUNNING, JobState.CANCELLING) or job.lease_until is not None:
        return steps
    found = count(session, job.id)
    if not found.total:
        return steps
    left = seconds(session, job.id) / found.ended * (found.total - found.ended) if found.ended else None
    entry = {
        "state": StepState.RUNNING,
        "progress": found.ended / found.total,
        "eta_seconds": left,
        "message": f"{found.ended} of {found.total} ended, {found.running} running",
    }
    return tuple(step.model_copy(update=entry) if step.name == TRIALS else step for step in steps)


def record_trial(session: Session, trial: Job) -> None:
    """Write an event of the parent: one of its trials has ended."""
    ended = session.get(Job, trial.id)
    if ended is None or trial.parent_id is None:
        return
    body = {"job_id": ended.id, "position": ended.position, "state": ended.state}
    level: Level = "info" if ended.state == JobState.SUCCEEDED else "warning"
    waits = (Job.id == trial.parent_id, Job.state == JobState.RUNNING, Job.lease_until.is_(None))
    move(session, *waits, now=None, entries=[Entry("trial", body, level)])


def cancel(session: Session, job_id: str, *, now: datetime | None = None) -> None:
    """Ask the trials of a cancelled sweep to stop. A sweep that was waiting for them is cancelled at once."""
    for child in session.scalars(select(Job.id).where(Job.parent_id == job_id, Job.state.in_(UNFINISHED))).all():
        lifecycle.cancel(session, child, now=now)
    state = JobState.CANCELLED
    waited = (Job.id == job_id, Job.state == JobState.CANCELLING, Job.lease_until.is_(None))
    job = session.scalar(select(Job).where(*waited))
    if job is None:
        return
    steps = job_steps.ended_steps(steps_of(session, job), state)
    end = {"state": state, "finished_at": clock.later(now), "steps": job_steps.dump(steps)}
    move(session, *waited, now=now, entries=[*cancelled_steps(steps), entry(state)], **end)


def retry(session: Session, job: Job, *, now: datetime | None = None) -> list[Job]:
    """Queue a job for one more attempt. For a sweep: the trials that did not succeed, and the gathering.

    Returns:
        The jobs to dispatch; none if there is nothing to retry.

    Raises:
        NotRetryable: trials of a cancelled sweep are still being stopped.
    """
    trials = children(session, job.id)
    if not trials:
        return [job] if lifecycle.retry(session, job, now=now) else []
    if any(trial.state in UNFINISHED for trial in trials):
        raise NotRetryable(f"Trials of {job.id} have not stopped yet.", suggestions=["Try again in a few seconds."])
    missed = [trial for trial in trials if trial.state in RETRYABLE]
    again = RETRYABLE | ({JobState.SUCCEEDED} if missed else set())
    waiting = move(
        session,
        Job.id == job.id,
        Job.state.in_(again),
        now=now,
        entries=[entry(JobState.RUNNING, why="retried")],
        state=JobState.RUNNING,
        charged=0,
        failure=None,
        finished_at=None,
        lease_until=None,
        published_at=clock.later(now),
        expires_at=lifecycle.retention_from_now(session, job, now=now),
    )
    if waiting is None:
        return []
    waiting.steps = job_steps.reset_steps(waiting)
    return [trial for trial in missed if lifecycle.retry(session, trial, now=now)] or [waiting]
