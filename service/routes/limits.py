"""Limits of single owners, which go before those of the settings. For admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from infra.accounts import owner_limits
from infra.accounts.owner_limits import EffectiveLimits
from infra.db.database import now
from infra.db.tables import OwnerLimits
from secateur import errors
from secateur.protocol.keys import Owner
from service.components import Components, UseComponents
from service.http import paging
from service.http.problems import responses
from service.views.owners import LimitsPage, LimitsView, OwnLimits, limits_view

router = APIRouter(prefix="/v1/limits", tags=["limits"])

READ_ERRORS = responses(errors.InvalidRequest, errors.Unavailable)
WRITE_ERRORS = responses(errors.InvalidRequest, errors.Unavailable, errors.StorageFull)
OwnerName = Annotated[Owner, Path(description="Whose limits.")]
After = Annotated[Owner | None, Query(description="`next_cursor` of the page before.")]


@router.get("", operation_id="list_limits", responses=READ_ERRORS)
def list_limits(parts: UseComponents, limit: paging.Limit = 50, cursor: After = None) -> LimitsPage:
    """Owners with limits of their own, by name."""
    with parts.database.read() as session:
        rows = owner_limits.page(session, limit=limit + 1, after=cursor)
    shown = rows[:limit]
    usual = owner_limits.defaults(parts.settings)
    views = tuple(limits_view(row.owner, owner_limits.overrides(row), usual) for row in shown)
    return LimitsPage(data=views, next_cursor=shown[-1].owner if len(rows) > limit else None)


@router.get("/{owner}", operation_id="get_limits", responses=READ_ERRORS)
def get_limits(parts: UseComponents, owner: OwnerName) -> LimitsView:
    """What an owner may use, and which of it is not what the settings say. Any name is an owner, also an unused one."""
    with parts.database.read() as session:
        return _view(parts, owner, owner_limits.get(session, owner))


@router.put("/{owner}", operation_id="set_limits", responses=WRITE_ERRORS)
def set_limits(parts: UseComponents, owner: OwnerName, wanted: OwnLimits) -> LimitsView:
    """Set an owner's own limits, all of them. They hold from the next request and the next job on."""
    with parts.database.write() as session:
        return _view(parts, owner, owner_limits.put(session, owner, wanted.model_dump(), now=now()))


@router.delete("/{owner}", operation_id="reset_limits", status_code=204, responses=WRITE_ERRORS)
def reset_limits(parts: UseComponents, owner: OwnerName) -> None:
    """Let the settings say again what an owner may use. Twice is once."""
    with parts.database.write() as session:
        owner_limits.reset(session, owner)


def _view(parts: Components, owner: str, row: OwnerLimits | None) -> LimitsView:
    usual: EffectiveLimits = owner_limits.defaults(parts.settings)
    return limits_view(owner, {} if row is None else owner_limits.overrides(row), usual)
