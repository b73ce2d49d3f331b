"""The limits of owners: the settings for all, overridden by the row of one. Inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from infra.accounts.quotas import LimitsOf, Usage
from infra.db import locks
from infra.db.tables import OwnerLimits
from infra.settings import Settings


@dataclass(frozen=True)
class EffectiveLimits(Usage):
    """The limits in force for an owner. 0 means no limit, except for ``max_upload_bytes``."""

    requests_per_minute: int
    max_upload_bytes: int


NAMES: Final = tuple(EffectiveLimits.__dataclass_fields__)
"""The names of the limits, which are also the columns that override them."""


def defaults(settings: Settings) -> EffectiveLimits:
    """Return the limits of an owner without a row."""
    return EffectiveLimits(
        stored_bytes=settings.quota_stored_bytes,
        queued_jobs=settings.quota_queued_jobs,
        running_jobs=settings.quota_running_jobs,
        queued_checks=settings.quota_queued_checks,
        requests_per_minute=settings.requests_per_minute,
        max_upload_bytes=settings.max_upload_bytes,
    )


def effective(session: Session, owner: str, *, settings: Settings) -> EffectiveLimits:
    """Return the limits of an owner: those of its row, and those of the settings where the row has null."""
    row = session.get(OwnerLimits, owner)
    return EffectiveLimits(**asdict(defaults(settings)) | ({} if row is None else overrides(row)))


def reader(settings: Settings) -> LimitsOf:
    """Return ``effective`` with these settings, as a function of the session and the owner."""
    return partial(effective, settings=settings)


def overrides(row: OwnerLimits) -> dict[str, int]:
    """Return the limits that a row overrides."""
    return {name: value for name in NAMES if (value := getattr(row, name)) is not None}


def put(session: Session, owner: str, wanted: Mapping[str, int | None], *, now: datetime) -> OwnerLimits:
    """Replace the overrides of an owner. A limit that is None or missing is again that of the settings."""
    locks.hold(session, "owner", [owner])
    return session.merge(OwnerLimits(owner=owner, changed_at=now, **{name: wanted.get(name) for name in NAMES}))


def reset(session: Session, owner: str) -> None:
    """Remove the overrides of an owner. Repeating the call changes nothing."""
    locks.hold(session, "owner", [owner])
    session.execute(delete(OwnerLimits).where(OwnerLimits.owner == owner))


def get(session: Session, owner: str, *, hold: bool = False) -> OwnerLimits | None:
    """Return the row. ``hold`` locks it until the transaction ends."""
    return session.get(OwnerLimits, owner, with_for_update=hold)


def page(session: Session, *, limit: int, after: str | None = None) -> Sequence[OwnerLimits]:
    """Return the overrides of owners whose names come after ``after``, sorted by name."""
    rows = select(OwnerLimits).order_by(OwnerLimits.owner).limit(limit)
    return session.scalars(rows if after is None else rows.where(OwnerLimits.owner > after)).all()
