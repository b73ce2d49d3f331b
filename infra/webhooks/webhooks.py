"""Rows of webhooks. Functions work inside the caller's transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from infra.db.pages import newest_first
from infra.db.tables import Webhook
from infra.webhooks import signing
from secateur.errors import QuotaExceeded
from secateur.ids import new_id
from secateur.protocol.webhooks import Subscription

MAX_WEBHOOKS: Final = 20
"""Most webhooks of one owner."""


def create(
    session: Session,
    *,
    owner: str,
    url: str,
    subscriptions: Iterable[Subscription],
    description: str,
    now: datetime,
) -> Webhook:
    """Write a new webhook with a new secret.

    Args:
        session: the caller's transaction.
        owner: to whom the webhook belongs.
        url: where notices are sent.
        subscriptions: which notices are sent.
        description: by the owner.
        now: the time of creation.

    Raises:
        QuotaExceeded: the owner has as many webhooks as are allowed.
    """
    there = session.scalar(select(func.count()).where(Webhook.owner == owner)) or 0
    if there >= MAX_WEBHOOKS:
        raise QuotaExceeded(
            f"{owner} has {there} webhooks; there may be {MAX_WEBHOOKS}.",
            suggestions=["Delete one: DELETE /v1/webhooks/{webhook_id}."],
        )
    webhook = Webhook(
        id=new_id("whk"),
        owner=owner,
        url=url,
        subscriptions=",".join(sorted(set(subscriptions))),
        description=description,
        secret=signing.new_secret(),
        disabled_because=None,
        created_at=now,
    )
    session.add(webhook)
    session.flush()
    return webhook


def get(session: Session, webhook_id: str, *, hold: bool = False) -> Webhook | None:
    """Return the row. ``hold`` locks it until the transaction ends."""
    return session.get(Webhook, webhook_id, with_for_update=hold)


def page(
    session: Session, *, owner: str | None, limit: int, after: tuple[datetime, str] | None = None
) -> Sequence[Webhook]:
    """Return the webhooks of an owner, or of all (None), newest first, after the position ``(created_at, id)``."""
    query = select(Webhook)
    if owner is not None:
        query = query.where(Webhook.owner == owner)
    return newest_first(session, Webhook, query, limit=limit, after=after)


def rotate(webhook: Webhook, *, grace_seconds: float, now: datetime) -> str:
    """Give a webhook a new secret, and return it. For ``grace_seconds``, deliveries are signed with both secrets."""
    webhook.former_secret, webhook.former_until = webhook.secret, now + timedelta(seconds=grace_seconds)
    webhook.secret = signing.new_secret()
    return webhook.secret


def secrets_of(webhook: Webhook, *, now: datetime) -> list[str]:
    """Return the valid secrets, the newest first."""
    former = webhook.former_secret if webhook.former_until is not None and now < webhook.former_until else None
    return [webhook.secret, *([former] if former else [])]
