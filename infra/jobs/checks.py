"""Checks of uploads in the queue. Owners take turns, so a worker asks whose checks wait, and then claims one of theirs.

A message about one check lets a worker claim any check. There are at least as many messages as checks that wait, so
each of them is claimed. Functions work inside the caller's transaction.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from infra.db.tables import Job
from infra.jobs import lifecycle
from secateur.protocol.states import JobState


def queued() -> ColumnElement[bool]:
    """Return the condition for checks that wait for a worker."""
    return and_(Job.state == JobState.QUEUED, Job.upload_id.is_not(None))


def owners_waiting(session: Session, *, named: str) -> Sequence[str]:
    """Return the owners whose checks wait: those with the fewest running checks first, then the longest waiting.

    Args:
        session: the caller's transaction.
        named: the job that the message names.
    """
    held = and_(Job.state.in_([JobState.RUNNING, JobState.CANCELLING]), Job.upload_id.is_not(None))
    counts = session.execute(select(Job.owner, func.count()).where(held).group_by(Job.owner))
    running: dict[str, int] = {owner: count for owner, count in counts}  # noqa: C416
    waiting = select(Job.owner).where(_claimable(named)).group_by(Job.owner).order_by(func.min(Job.created_at))
    return sorted(session.scalars(waiting), key=lambda owner: running.get(owner, 0))


def claim_next(
    session: Session, owner: str, *, named: str, lease_seconds: float, now: datetime | None = None
) -> Job | None:
    """Claim the owner's check that waits longest. None if other workers have claimed all of them meanwhile.

    Args:
        session: the caller's transaction.
        owner: of the check.
        named: the job that the message names.
        lease_seconds: how long the lease lasts from now.
        now: the time of the claim.
    """
    oldest = select(Job.id).where(_claimable(named), Job.owner == owner).order_by(Job.created_at, Job.id).limit(1)
    job_id = session.scalar(oldest)
    return None if job_id is None else lifecycle.claim(session, job_id, lease_seconds=lease_seconds, now=now)


def _claimable(named: str) -> ColumnElement[bool]:
    """Return the condition for checks that may start now.

    A check that returned to the queue without a message waits until a reaper sends one: what failed needs some time.
    """
    return and_(queued(), or_(Job.published_at.is_not(None), Job.attempt == 0, Job.id == named))
