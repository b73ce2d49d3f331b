"""Rows of API keys. Functions work inside the caller's transaction and take the time as an argument.

A row is never removed: once a service has had a key it asks for one, also when the last was revoked.
"""

import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from infra.accounts import key_text
from infra.db.pages import Position, newest_first
from infra.db.tables import ApiKey
from secateur.ids import new_id
from secateur.protocol.keys import SCOPES, KeyState, Scope

TOUCH_SECONDS = 60.0
"""How exactly it is known when a key was last used: a write for every request would be too many."""


def create(
    session: Session,
    *,
    name: str,
    owner: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Write a new key. Returns its row and its text, which is kept nowhere."""
    prefix = key_text.new_prefix()
    text = key_text.mint(prefix)
    key = ApiKey(
        id=new_id("key"),
        prefix=prefix,
        owner=owner,
        name=name,
        scopes=",".join(scope for scope in SCOPES if scope in set(scopes)),
        secret_digest=key_text.digest_of(text),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, text


def exist(session: Session) -> bool:
    """Whether there ever was a key, usable or not."""
    return session.scalar(select(ApiKey.id).limit(1)) is not None


def identify(session: Session, text: str, *, now: datetime) -> ApiKey | None:
    """The key that this text is, if it may be used: neither revoked nor expired, nor replaced too long ago."""
    prefix = key_text.prefix_of(text)
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix)) if prefix else None
    if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        return None
    digest = key_text.digest_of(text)
    if hmac.compare_digest(digest, key.secret_digest):
        return key
    was_it = key.former_digest is not None and hmac.compare_digest(digest, key.former_digest)
    return key if was_it and key.former_until is not None and now < key.former_until else None


def is_stale(key: ApiKey, *, now: datetime) -> bool:
    """Whether it is time to write down again that a key was used."""
    return key.last_used_at is None or key.last_used_at < now - timedelta(seconds=TOUCH_SECONDS)


def touch(session: Session, key_id: str, *, now: datetime) -> None:
    """Remember when a key was used."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


def rotate(session: Session, key: ApiKey, *, grace_seconds: float, now: datetime) -> str:
    """Give a key a new secret; the one before stays valid for a while. Returns the new text."""
    text = key_text.mint(key.prefix)
    key.former_digest, key.former_until = key.secret_digest, now + timedelta(seconds=grace_seconds)
    key.secret_digest = key_text.digest_of(text)
    return text


def revoke(key: ApiKey, *, now: datetime) -> None:
    """Make a key unusable, at once and for good."""
    key.revoked_at = key.revoked_at or now


def get(session: Session, key_id: str, *, hold: bool = False) -> ApiKey | None:
    """The row. ``hold`` keeps others who hold it waiting: of two who rotate a key, one comes after the other."""
    return session.get(ApiKey, key_id, with_for_update=hold)


def page(
    session: Session, *, limit: int, now: datetime, state: KeyState | None = None, after: Position | None = None
) -> Sequence[ApiKey]:
    """Keys of that state, or of all, newest first, that come after a position."""
    query = select(ApiKey) if state is None else select(ApiKey).where(_is(state, now))
    return newest_first(session, ApiKey, query, limit=limit, after=after)


def _is(state: KeyState, now: datetime) -> ColumnElement[bool]:
    if state == "revoked":
        return ApiKey.revoked_at.is_not(None)
    lasts = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return and_(ApiKey.revoked_at.is_(None), lasts if state == "valid" else ApiKey.expires_at <= now)
