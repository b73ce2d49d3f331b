"""Rows of API keys. Functions work inside the caller's transaction and take the time as an argument.

Rows are never removed: a service that ever had a key requires a key, also after the last one was revoked.
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
"""The resolution of ``last_used_at``: writing it for every request would cost too much."""


def create(
    session: Session,
    *,
    name: str,
    owner: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Write a new key. Return its row and its text, which is stored nowhere.

    Args:
        session: the caller's transaction.
        name: what the owner calls the key.
        owner: the uploads and jobs of this owner are accessible with the key.
        scopes: what the key permits.
        expires_at: when it becomes invalid; None: never.
        now: the time of creation.
    """
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
    """Return whether a key was ever created, valid or not."""
    return session.scalar(select(ApiKey.id).limit(1)) is not None


def identify(session: Session, text: str, *, now: datetime) -> ApiKey | None:
    """Return the valid key with this text: not revoked, not expired, and not replaced before the grace period."""
    prefix = key_text.prefix_of(text)
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix)) if prefix else None
    if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        return None
    digest = key_text.digest_of(text)
    if hmac.compare_digest(digest, key.secret_digest):
        return key
    is_former = key.former_digest is not None and hmac.compare_digest(digest, key.former_digest)
    return key if is_former and key.former_until is not None and now < key.former_until else None


def is_stale(key: ApiKey, *, now: datetime) -> bool:
    """Return whether ``last_used_at`` of a key should be written again."""
    return key.last_used_at is None or key.last_used_at < now - timedelta(seconds=TOUCH_SECONDS)


def touch(session: Session, key_id: str, *, now: datetime) -> None:
    """Write when a key was last used."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


def rotate(session: Session, key: ApiKey, *, grace_seconds: float, now: datetime) -> str:
    """Give a key a new secret, and return its new text. The old secret stays valid for ``grace_seconds``."""
    text = key_text.mint(key.prefix)
    key.former_digest, key.former_until = key.secret_digest, now + timedelta(seconds=grace_seconds)
    key.secret_digest = key_text.digest_of(text)
    return text


def revoke(key: ApiKey, *, now: datetime) -> None:
    """Make a key invalid, at once and permanently."""
    key.revoked_at = key.revoked_at or now


def get(session: Session, key_id: str, *, hold: bool = False) -> ApiKey | None:
    """Return the row. ``hold`` locks it until the transaction ends, so that requests rotate a key one by one."""
    return session.get(ApiKey, key_id, with_for_update=hold)


def page(
    session: Session, *, limit: int, now: datetime, state: KeyState | None = None, after: Position | None = None
) -> Sequence[ApiKey]:
    """Return the keys that come after a position, newest first.

    Args:
        session: the caller's transaction.
        limit: the size of the page.
        now: the time by which keys count as expired.
        state: only keys in this state; None: all keys.
        after: the position of the last key of the page before; None: start at the newest key.
    """
    query = select(ApiKey) if state is None else select(ApiKey).where(_is(state, now))
    return newest_first(session, ApiKey, query, limit=limit, after=after)


def _is(state: KeyState, now: datetime) -> ColumnElement[bool]:
    if state == "revoked":
        return ApiKey.revoked_at.is_not(None)
    lasts = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return and_(ApiKey.revoked_at.is_(None), lasts if state == "valid" else ApiKey.expires_at <= now)
