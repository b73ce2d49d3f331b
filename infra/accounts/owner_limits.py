"""What each owner may use: the settings say it for all, a row otherwise for one. Inside the caller's transaction."""

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
    """What an owner may use at most. 0 is any amount; the size of one upload always has an end."""

    requests_per_minute: int
    max_upload_bytes: int


NAMES: Final = tuple(EffectiveLimits.__dataclass_fields__)
"""Of the limits, and of the columns that say otherwise."""


def usual(settings: Settings) -> EffectiveLimits:
    """What the settings allow each owner."""
    return EffectiveLimits(
        stored_bytes=settings.quota_stored_bytes,
        queued_jobs=settings.quota_queued_jobs,
        running_jobs=settings.quota_running_jobs,
        requests_per_minute=settings.requests_per_minute,
        max_upload_bytes=settings.max_upload_bytes,
    )


def of(session: Session, owner: str, *, settings: Settings) -> EffectiveLimits:
    """What an owner may use: what its row says, and the settings where that says nothing."""
    row = session.get(OwnerLimits, owner)
    return EffectiveLimits(**asdict(usual(settings)) | ({} if row is None else own(row)))


def by(settings: Settings) -> LimitsOf:
    """``of`` with these settings."""
    return partial(of, settings=settings)


def own(row: OwnerLimits) -> dict[str, int]:
    """The limits that a row sets."""
    return {name: value for name in NAMES if (value := getattr(row, name)) is not None}


def put(session: Session, owner: str, wanted: Mapping[str, int | None], *, now: datetime) -> OwnerLimits:
    """Set an owner's own limits, all of them: one that is None or missing is again what the settings say."""
    locks.hold(session, "owner", [owner])
    return session.merge(OwnerLimits(owner=owner, changed_at=now, **{name: wanted.get(name) for name in NAMES}))


def reset(session: Session, owner: str) -> None:
    """Let the settings say again what an owner may use. Twice is once."""
    locks.hold(session, "owner", [owner])
    session.execute(delete(OwnerLimits).where(OwnerLimits.owner == owner))


def get(session: Session, owner: str, *, hold: bool = False) -> OwnerLimits | None:
    """The row. ``hold`` keeps others who hold it waiting."""
    return session.get(OwnerLimits, owner, with_for_update=hold)


def page(session: Session, *, limit: int, after: str | None = None) -> Sequence[OwnerLimits]:
    """Owners with limits of their own, by name, that come after this name."""
    rows = select(OwnerLimits).order_by(OwnerLimits.owner).limit(limit)
    return session.scalars(rows if after is None else rows.where(OwnerLimits.owner > after)).all()
