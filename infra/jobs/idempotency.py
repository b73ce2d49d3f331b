"""Keys of requests that may be sent twice: the first makes a job, all others are given the answer that the first got.

The key is written in the transaction that makes the job, so there is never one without the other. Inside the caller's
transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import IdempotencyKey

IN_FLIGHT_SECONDS: Final = 90.0
"""An answer that is not out after this never will be: its gateway died. Longer than a caller may wait for one."""


@dataclass(frozen=True)
class Known:
    """A request that came before with the same key."""

    fingerprint: str
    job_id: str
    status: int | None
    body: str | None
    is_stale: bool

    @property
    def is_in_flight(self) -> bool:
        """Whether its answer is still awaited."""
        return self.status is None and not self.is_stale


def find(session: Session, owner: str, key: str, *, now: datetime | None = None) -> Known | None:
    """What is known of a key."""
    stale = IdempotencyKey.created_at < clock.later(now, -IN_FLIGHT_SECONDS)
    row = session.execute(
        select(IdempotencyKey, stale).where(IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    ).one_or_none()
    if row is None:
        return None
    known, is_stale = row
    return Known(known.fingerprint, known.job_id, known.status, known.body, bool(is_stale))


def keep(session: Session, owner: str, key: str, *, fingerprint: str, job_id: str, now: datetime | None = None) -> None:
    """Take a key for a job.

    Raises:
        IntegrityError: somebody else has just taken it. The transaction is of no use any more; look again.
    """
    row = {"owner": owner, "key": key, "fingerprint": fingerprint, "job_id": job_id, "status": None, "body": None}
    session.execute(insert(IdempotencyKey).values(created_at=clock.later(now), **row))


def answer(session: Session, owner: str, key: str, *, status: int, body: str) -> None:
    """Keep the answer that was given, for whoever sends the request again."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.owner == owner, IdempotencyKey.key == key)
        .values(status=status, body=body)
    )


def forget(session: Session, *, older_than_seconds: float, now: datetime | None = None) -> None:
    """Drop the keys that nobody will send again."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < clock.later(now, -older_than_seconds)))
