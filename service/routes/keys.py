"""API keys: make, list, rotate, revoke. For admins."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import Field

from infra.accounts import api_keys
from infra.db.database import now
from infra.db.tables import ApiKey
from secateur import errors
from secateur.frozen import Frozen
from secateur.ids import kind_of
from secateur.protocol.keys import KeyState, Owner, Scope
from service.accounts.caller import UseCaller
from service.components import UseComponents
from service.http import paging
from service.http.problems import responses
from service.views.owners import KeyPage, KeyView, NewKey, key_view, new_key_view

router = APIRouter(prefix="/v1/keys", tags=["keys"])

DAY_SECONDS = 86_400
LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)
WRITE_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable, errors.StorageFull)


class KeyRequest(Frozen):
    """What a key is to be."""

    name: str = Field(min_length=1, max_length=256, description="What it is for, told in lists.")
    owner: Owner | None = Field(default=None, description="Whose things it works on. Default: those of the caller.")
    scopes: tuple[Scope, ...] = Field(default=("write",), min_length=1, description="`write` includes `read`.")
    expires_in_days: float | None = Field(default=None, gt=0, le=36_500, description="Default: never.")


class Rotation(Frozen):
    """How to replace a secret."""

    grace_seconds: float = Field(
        default=DAY_SECONDS, ge=0, le=30 * DAY_SECONDS, description="How long the secret before stays valid."
    )


@router.post("", operation_id="create_key", status_code=201, responses=WRITE_ERRORS)
def create_key(parts: UseComponents, caller: UseCaller, response: Response, wanted: KeyRequest) -> NewKey:
    """Make a key. Its text is in this answer and nowhere else."""
    at = now()
    expires_at = None if wanted.expires_in_days is None else at + timedelta(days=wanted.expires_in_days)
    with parts.database.write() as session:
        key, text = api_keys.create(
            session,
            name=wanted.name,
            owner=wanted.owner or caller.owner,
            scopes=wanted.scopes,
            expires_at=expires_at,
            now=at,
        )
    response.headers["Location"] = f"/v1/keys/{key.id}"
    return new_key_view(key, text)


@router.get("", operation_id="list_keys", responses=responses(errors.InvalidRequest, errors.Unavailable))
def list_keys(
    parts: UseComponents,
    state: Annotated[KeyState | None, Query(description="Default: all, those that were revoked too.")] = None,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> KeyPage:
    """Keys, newest first."""
    with parts.database.read() as session:
        rows = api_keys.page(session, state=state, now=now(), limit=limit + 1, after=paging.decode(cursor))
    shown, next_cursor = paging.cut(rows, limit)
    return KeyPage(data=tuple(map(key_view, shown)), next_cursor=next_cursor)


@router.get("/{key_id}", operation_id="get_key", responses=LOOKUP_ERRORS)
def get_key(parts: UseComponents, key_id: str) -> KeyView:
    """A key that was not revoked, without its secret."""
    with parts.database.read() as session:
        return key_view(_found(api_keys.get(session, key_id), key_id))


@router.post("/{key_id}/rotate", operation_id="rotate_key", responses=WRITE_ERRORS)
def rotate_key(
    parts: UseComponents, key_id: str, rotation: Annotated[Rotation, Body(default_factory=Rotation)]
) -> NewKey:
    """Give a key a new secret, in this answer and nowhere else. The one before stays valid for the grace."""
    with parts.database.write() as session:
        key = _found(api_keys.get(session, key_id, hold=True), key_id)
        text = api_keys.rotate(session, key, grace_seconds=rotation.grace_seconds, now=now())
        return new_key_view(key, text)


@router.delete("/{key_id}", operation_id="revoke_key", status_code=204, responses=WRITE_ERRORS)
def revoke_key(parts: UseComponents, key_id: str) -> None:
    """Make a key unusable, at once and for good; the list alone knows it from now on. What it owns stays."""
    with parts.database.write() as session:
        api_keys.revoke(_found(api_keys.get(session, key_id, hold=True), key_id), now=now())


def _found(key: ApiKey | None, key_id: str) -> ApiKey:
    if key is not None and key.revoked_at is not None:
        hints = ["GET /v1/keys?state=revoked lists it.", "Make a new key: POST /v1/keys."]
        raise errors.NotFound(f"{key_id} was revoked.", suggestions=hints)
    if key is None:
        kind = kind_of(key_id)
        named = f" {key_id} names {kind}." if kind not in (None, "an API key") else ""
        raise errors.NotFound(f"There is no key {key_id}.{named}", suggestions=["GET /v1/keys lists the keys."])
    return key
