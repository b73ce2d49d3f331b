"""Recovery from crashes: expired leases, jobs that no worker claimed, lost messages.

Inside the caller's transaction. Any number of workers may run it at once, because every move is a compare-and-swap.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Job
from infra.jobs.lifecycle import Outcome, due, finish, requeue
from infra.jobs.steps import running_step, steps_of
from infra.jobs.transitions import entry, move
from secateur.errors import PendingTimeExceeded, WorkerCrashed
from secateur.protocol.states import JobState


def recover(
    session: Session,
    *,
    max_attempts: int,
    resend_seconds: float,
    on_lost: Callable[[Job], object] = lambda job: None,
    skip_lost: bool = False,
    now: datetime | None = None,
) -> list[Job]:
    """Recover from crashes, and return the jobs whose message must be sent, for the first time or again.

    Jobs with an expired lease return to the queue, or fail after ``max_attempts``. Jobs that waited longer than their
    limit and never started expire.

    Args:
        session: the caller's transaction.
        max_attempts: how many charged attempts a job has.
        resend_seconds: the age from which messages are sent again.
        on_lost: called with each job whose lease has expired.
        skip_lost: leave jobs with an expired lease as they are, because their workers could not renew it either.
        now: the time of the recovery.
    """
    for job in () if skip_lost else _with_expired_lease(session, now):
        on_lost(job)
        _recover_job(session, job, max_attempts, now)
    _expire(session, now)
    unsent = or_(Job.published_at.is_(None), Job.published_at < clock.later(now, -resend_seconds))
    wanted = select(Job).where(or_(Job.state == JobState.QUEUED, due()), unsent)
    return list(session.scalars(wanted.order_by(Job.created_at, Job.position)))


def _with_expired_lease(session: Session, now: datetime | None) -> Sequence[Job]:
    held = Job.state.in_([JobState.RUNNING, JobState.CANCELLING])
    expired = select(Job).where(held, Job.lease_until < clock.later(now))
    return session.scalars(expired.with_for_update(skip_locked=True)).all()


def _recover_job(session: Session, job: Job, max_attempts: int, now: datetime | None) -> None:
    if job.state == JobState.CANCELLING:
        finish(session, job.id, job.attempt, Outcome(JobState.CANCELLED), steps=steps_of(job), now=now)
    elif job.charged >= max_attempts:
        crash = WorkerCrashed(
            f"The worker was lost in each of {job.charged} attempts.",
            suggestions=["Try a smaller batch_size: running out of memory is the most common reason."],
        )
        outcome = Outcome(JobState.FAILED, crash.failure(running_step(job)))
        finish(session, job.id, job.attempt, outcome, steps=steps_of(job), now=now)
    else:
        detail = "The worker sent no heartbeat before its lease expired."
        requeue(session, job.id, job.attempt, why="worker_lost", detail=detail, now=now)


def _expire(session: Session, now: datetime | None) -> None:
    failure = PendingTimeExceeded(
        "No worker took the job within limits.max_pending_seconds.",
        suggestions=["Start another worker, or raise limits.max_pending_seconds."],
    ).failure()
    failed, ended = failure.model_dump(mode="json"), clock.later(now)
    overdue = (Job.state == JobState.QUEUED, Job.started_at.is_(None), Job.pending_until < clock.later(now))
    for job_id in session.scalars(select(Job.id).where(*overdue)).all():
        entries = [entry(JobState.EXPIRED, failure=failed)]
        state = JobState.EXPIRED
        move(
            session,
            Job.id == job_id,
            *overdue,
            now=now,
            entries=entries,
            state=state,
            finished_at=ended,
            failure=failed,
        )
