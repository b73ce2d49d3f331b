"""Which workers are alive: each says so in a row."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Worker


def record_heartbeat(
    session: Session, worker_id: str, *, queues: str, sandbox: str = "", now: datetime | None = None
) -> None:
    """Write or refresh a worker's row. ``sandbox`` tells what its jobs are confined by; without queues it has none."""
    seen_at = clock.read(session, now)
    session.merge(Worker(id=worker_id, queues=queues, sandbox=sandbox[:256], seen_at=seen_at))


def remove_heartbeat(session: Session, worker_id: str) -> None:
    """Remove the row of a worker that stops."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def alive(session: Session, *, within_seconds: float, now: datetime | None = None) -> Sequence[Worker]:
    """The workers that were seen lately."""
    return session.scalars(select(Worker).where(Worker.seen_at >= clock.later(now, -within_seconds))).all()
