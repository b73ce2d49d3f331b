"""One move of one job: a compare-and-swap, with its events and notices in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Job
from infra.jobs import events
from infra.jobs.events import Entry
from infra.webhooks import outbox
from secateur.protocol.events import Level
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import FINAL, JobState, StepState

NO_CHECKPOINT: Final[Mapping[str, Any]] = {
    "checkpoint_digest": None,
    "checkpoint_bytes": None,
    "checkpoint_steps": None,
}


def move(
    session: Session, *conditions: ColumnElement[bool], now: datetime | None, entries: Sequence[Entry], **values: Any
) -> Job | None:
    """Change the one job that meets the conditions, and return it. None if no job does; then nothing was written.

    Args:
        session: the caller's transaction.
        conditions: SQL conditions that hold for one job at most.
        now: the time of the move; None: that of the database.
        entries: events to write.
        values: the new values of columns.
    """
    if _ends_for_good(values):
        values |= NO_CHECKPOINT
    row = session.execute(
        update(Job)
        .where(*conditions)
        .values(last_event=Job.last_event + len(entries), **values)
        .returning(Job, clock.later(now))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    job, at = row
    events.write(session, job.id, job.attempt, entries, last=job.last_event, at=at)
    if "state" in values:
        outbox.queue_job_notice(session, job, now=at)
    return job


def _ends_for_good(values: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint is not needed any more. A job that failed by the service's fault may be resumed."""
    failure = values.get("failure") or {}
    return values.get("state") in FINAL and failure.get("blame") != "service"


def entry(state: JobState, *, level: Level = "info", **more: Any) -> Entry:
    """Return the event of a move to a state. Values of ``more`` that are empty are left out."""
    grave = level if state not in (JobState.FAILED, JobState.EXPIRED) else "error"
    return Entry("state", {"state": state.value} | {name: value for name, value in more.items() if value}, grave)


def cancelled_steps(steps: Iterable[StepProgress]) -> list[Entry]:
    """Return an event for each step that was cancelled. The event of a job that failed names the step itself."""
    cancelled = StepState.CANCELLED
    return [Entry("step", {"step": step.name, "state": cancelled.value}) for step in steps if step.state == cancelled]
