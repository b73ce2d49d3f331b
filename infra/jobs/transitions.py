"""One move of one job: a compare-and-swap, and in the same transaction the events and notices that tell of it."""

from collections.abc import Mapping, Sequence
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
from secateur.protocol.states import FINAL, JobState

NO_CHECKPOINT: Final[Mapping[str, Any]] = {
    "checkpoint_digest": None,
    "checkpoint_bytes": None,
    "checkpoint_steps": None,
}


def move(
    session: Session, *conditions: ColumnElement[bool], now: datetime | None, entries: Sequence[Entry], **values: Any
) -> Job | None:
    """Change the one job that meets the conditions. None when there is none any more: then nothing was written."""
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
    """Whether nobody will go on where the job was. Who tries a job again that failed by our fault goes on."""
    failure = values.get("failure") or {}
    return values.get("state") in FINAL and failure.get("blame") != "service"


def entry(state: JobState, *, level: Level = "info", **more: Any) -> Entry:
    """The event of a move to a state, with all of ``more`` that is something."""
    grave = level if state not in (JobState.FAILED, JobState.EXPIRED) else "error"
    return Entry("state", {"state": state.value} | {name: value for name, value in more.items() if value}, grave)
