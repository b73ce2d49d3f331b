"""Idempotency keys: the first request with a key creates a job, and later requests get the same answer.

The key is written in the transaction that creates the job, so neither exists without the other. Functions work inside
the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import IdempotencyKey

IN_FLIGHT_SECONDS: Final = 90.0
"""A request without an answer after this time never gets one: its gateway died. Requests time out earlier."""


@dataclass(frozen=True)
class Known:
    """An earlier request with the same key."""

    fingerprint: str
    job_id: str
    status: int | None
    body: str | None
    is_stale: bool

    @property
    def is_in_flight(self) -> bool:
        """Whether the request may still be answered."""
        return self.status is None and not self.is_stale


def find(session: Session, owner: str, key: str, *, now: datetime | None = None) -> Known | None:
    """Return the earlier request with this key, or None."""
    stale = IdempotencyKey.created_at < clock.later(now, -IN_FLIGHT_SECONDS)
    row = session.execute(
        select(IdempotencyKey, stale).where(IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    ).one_or_none()
    if row is None:
        return None
    known, is_stale = row
    return Known(known.fingerprint, known.job_id, known.status, known.body, bool(is_stale))


def keep(session: Session, owner: str, key: str, *, fingerprint: str, job_id: str, now: datetime | None = None) -> None:
    """Write a key for a new job.

    Args:
        session: the caller's transaction.
        owner: whose key it is.
        key: the text of the key.
        fingerprint: the digest of the request.
        job_id: the job that the request created.
        now: the time of creation.

    Raises:
        IntegrityError: another request has just written the key. Roll the transaction back, and find the key again.
    """
    row = {"owner": owner, "key": key, "fingerprint": fingerprint, "job_id": job_id, "status": None, "body": None}
    session.execute(insert(IdempotencyKey).values(created_at=clock.later(now), **row))


def answer(session: Session, owner: str, key: str, *, status: int, body: str) -> None:
    """Store the answer of the first request, for requests that repeat it."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.owner == owner, IdempotencyKey.key == key)
        .values(status=status, body=body)
    )


def forget(session: Session, *, older_than_seconds: float, now: datetime | None = None) -> None:
    """Delete keys that are too old to be repeated."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < clock.later(now, -older_than_seconds)))
