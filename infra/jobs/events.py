"""The events of jobs. They are written in the transaction of the move or heartbeat that they describe.

The job's row counts its events. A transaction that writes events has locked that row, so numbers become visible in
their order.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from infra.db.tables import Job, JobEventRow
from secateur.protocol.events import EventKind, JobEvent, Level, at_least
from secateur.protocol.states import JobState

MAX_EVENTS: Final = 5_000
"""Most events that are kept for one job."""

CHECK_EVERY: Final = 250
"""The events of a job are counted after every so many."""

MAX_BODY_BYTES: Final = 16_384
MAX_TEXT: Final = 2_000
"""How many characters a text keeps in a body that is too large."""

THINNED: Final[tuple[EventKind, ...]] = ("progress", "log", "step", "trial")
"""The kinds of events that are deleted when a job has too many, in this order, oldest first. States are always kept."""


@dataclass(frozen=True)
class Entry:
    """An event without a number yet."""

    kind: EventKind
    body: Mapping[str, Any]
    level: Level = "info"
    age_seconds: float = 0.0


@dataclass(frozen=True)
class EventPosition:
    """The number of a job's newest event, and the job's state."""

    last: int
    state: JobState


def write(session: Session, job_id: str, attempt: int, entries: Sequence[Entry], *, last: int, at: datetime) -> None:
    """Write events whose numbers end with ``last``. The caller has reserved the numbers in the job's row.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        attempt: the attempt that the events belong to; 0: none.
        entries: the events, in their order.
        last: the number of the last event.
        at: the time of the transaction, by the database's clock.
    """
    if not entries:
        return
    first = last - len(entries) + 1
    rows = [
        {
            "job_id": job_id,
            "number": first + offset,
            "attempt": attempt,
            "at": at - timedelta(seconds=entry.age_seconds),
            "kind": entry.kind,
            "level": entry.level,
            "body": shortened(entry.body),
        }
        for offset, entry in enumerate(entries)
    ]
    session.execute(insert(JobEventRow), rows)
    if first // CHECK_EVERY != (last + 1) // CHECK_EVERY:
        thin(session, job_id)


def thin(session: Session, job_id: str, *, keep: int = MAX_EVENTS) -> None:
    """Delete events of a job until it has ``keep``, or only kinds that are always kept."""
    here = JobEventRow.job_id == job_id
    excess = (session.scalar(select(func.count()).where(here)) or 0) - keep
    for kind in THINNED:
        if excess <= 0:
            return
        oldest = select(JobEventRow.number).where(here, JobEventRow.kind == kind)
        numbers = session.scalars(oldest.order_by(JobEventRow.number).limit(excess)).all()
        if numbers:
            session.execute(
                delete(JobEventRow).where(here, JobEventRow.kind == kind, JobEventRow.number <= numbers[-1])
            )
        excess -= len(numbers)


def shortened(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body of at most ``MAX_BODY_BYTES``. Long texts are cut first; then large values are left out.

    >>> shortened({"message": "x" * 20_000})["message"][-5:]
    'xxxx…'
    """
    if _size(body) <= MAX_BODY_BYTES:
        return dict(body)
    cut = {name: _cut(value) for name, value in body.items()}
    return cut if _size(cut) <= MAX_BODY_BYTES else {name: value for name, value in cut.items() if _size(value) <= 2048}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
    return {name: _cut(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _size(value: Any) -> int:
    return len(json.dumps(value).encode())


def page(
    session: Session,
    job_id: str,
    *,
    after: int = 0,
    limit: int = 200,
    level: Level = "info",
    kinds: Collection[EventKind] = (),
    attempt: int | None = None,
) -> list[JobEvent]:
    """Return the events after a number, in their order.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        after: the number of the last event that the caller has.
        limit: the size of the page.
        level: the lowest level.
        kinds: only these kinds; empty: all.
        attempt: only events of this attempt; None: of all.
    """
    query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.number > after)
    if level != "info":
        query = query.where(JobEventRow.level.in_(at_least(level)))
    if kinds:
        query = query.where(JobEventRow.kind.in_(kinds))
    if attempt is not None:
        query = query.where(JobEventRow.attempt == attempt)
    rows = session.scalars(query.order_by(JobEventRow.number).limit(limit))
    names = ("number", "attempt", "at", "kind", "level", "body")
    return [JobEvent.model_validate({name: getattr(row, name) for name in names}) for row in rows]


def event_positions(session: Session, job_ids: Collection[str]) -> dict[str, EventPosition]:
    """Return the newest event and the state of each job. Jobs that do not exist are left out."""
    rows = session.execute(select(Job.id, Job.last_event, Job.state).where(Job.id.in_(job_ids)))
    return {job_id: EventPosition(last, JobState(state)) for job_id, last, state in rows}
