"""Heartbeats of worker processes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Worker


def record_heartbeat(
    session: Session, worker_id: str, *, queues: str, sandbox: str = "", now: datetime | None = None
) -> None:
    """Write or refresh the row of a worker.

    Args:
        session: the caller's transaction.
        worker_id: host name and process id.
        queues: the queues that the worker serves, separated by commas; empty: it runs no jobs.
        sandbox: what confines the worker's jobs.
        now: the time of the heartbeat.
    """
    seen_at = clock.read(session, now)
    session.merge(Worker(id=worker_id, queues=queues, sandbox=sandbox[:256], seen_at=seen_at))


def remove_heartbeat(session: Session, worker_id: str) -> None:
    """Delete the row of a worker that stops."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def alive(session: Session, *, within_seconds: float, now: datetime | None = None) -> Sequence[Worker]:
    """Return the workers with a heartbeat in the last ``within_seconds``."""
    return session.scalars(select(Worker).where(Worker.seen_at >= clock.later(now, -within_seconds))).all()
