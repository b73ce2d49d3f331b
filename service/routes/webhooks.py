"""Webhooks: where a caller is told, without asking, that jobs have ended. After Standard Webhooks."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from sqlalchemy.orm import Session

from infra.db.database import now
from infra.db.tables import Delivery, Webhook
from infra.webhooks import outbox, webhooks
from infra.webhooks.outbound import check_url
from secateur import errors
from secateur.ids import kind_of
from service.accounts.caller import Caller, UseCaller
from service.components import UseComponents
from service.http import paging
from service.http.problems import responses
from service.views.webhooks import (
    DeliveryPage,
    DeliveryView,
    NewSecret,
    SecretRotation,
    WebhookChange,
    WebhookPage,
    WebhookRequest,
    WebhookView,
    delivery_view,
    secret_view,
    webhook_view,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)
WRITE_ERRORS = responses(
    errors.InvalidRequest, errors.NotFound, errors.WebhookUrlRefused, errors.Unavailable, errors.StorageFull
)
SWITCHED_OFF = "Switched off by its owner."


@router.post("", operation_id="create_webhook", status_code=201, responses=WRITE_ERRORS)
def create_webhook(parts: UseComponents, caller: UseCaller, response: Response, wanted: WebhookRequest) -> NewSecret:
    """Have notices posted to a URL. The secret that verifies them is in this answer and nowhere else."""
    check_url(wanted.url, parts.settings.webhook_targets)
    with parts.database.write() as session:
        webhook = webhooks.create(session, owner=caller.owner, now=now(), **wanted.model_dump())
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    return secret_view(webhook)


@router.get("", operation_id="list_webhooks", responses=responses(errors.InvalidRequest, errors.Unavailable))
def list_webhooks(
    parts: UseComponents, caller: UseCaller, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> WebhookPage:
    """Webhooks, newest first."""
    with parts.database.read() as session:
        rows = webhooks.page(session, owner=caller.only, limit=limit + 1, after=paging.decode(cursor))
    shown, next_cursor = paging.cut(rows, limit)
    return WebhookPage(data=tuple(map(webhook_view, shown)), next_cursor=next_cursor)


@router.get("/{webhook_id}", operation_id="get_webhook", responses=LOOKUP_ERRORS)
def get_webhook(parts: UseComponents, caller: UseCaller, webhook_id: str) -> WebhookView:
    """A webhook, without its secret."""
    with parts.database.read() as session:
        return webhook_view(_found(session, caller, webhook_id))


@router.patch("/{webhook_id}", operation_id="change_webhook", responses=WRITE_ERRORS)
def change_webhook(parts: UseComponents, caller: UseCaller, webhook_id: str, change: WebhookChange) -> WebhookView:
    """Change what is given. Deliveries that wait go to the new URL."""
    if change.url is not None:
        check_url(change.url, parts.settings.webhook_targets)
    with parts.database.write() as session:
        webhook = _found(session, caller, webhook_id, hold=True)
        webhook.url = change.url or webhook.url
        if change.subscriptions is not None:
            webhook.subscriptions = ",".join(sorted(set(change.subscriptions)))
        if change.description is not None:
            webhook.description = change.description
        if change.enabled is not None:
            webhook.disabled_because = None if change.enabled else webhook.disabled_because or SWITCHED_OFF
        return webhook_view(webhook)


@router.post("/{webhook_id}/rotate", operation_id="rotate_webhook_secret", responses=WRITE_ERRORS)
def rotate_webhook_secret(
    parts: UseComponents,
    caller: UseCaller,
    webhook_id: str,
    rotation: Annotated[SecretRotation, Body(default_factory=SecretRotation)],
) -> NewSecret:
    """Give a webhook a new secret, in this answer and nowhere else. For the grace, deliveries carry both signatures."""
    with parts.database.write() as session:
        webhook = _found(session, caller, webhook_id, hold=True)
        webhooks.rotate(webhook, grace_seconds=rotation.grace_seconds, now=now())
        return secret_view(webhook)


@router.delete("/{webhook_id}", operation_id="delete_webhook", status_code=204, responses=WRITE_ERRORS)
def delete_webhook(parts: UseComponents, caller: UseCaller, webhook_id: str) -> None:
    """Deliver nothing there any more. The log of its deliveries goes with it."""
    with parts.database.write() as session:
        session.delete(_found(session, caller, webhook_id, hold=True))


@router.post("/{webhook_id}/ping", operation_id="ping_webhook", status_code=202, responses=WRITE_ERRORS)
def ping_webhook(parts: UseComponents, caller: UseCaller, webhook_id: str) -> DeliveryView:
    """Deliver a notice that says nothing, to try the receiver. Read in the log of deliveries how it went.

    While one waits to be delivered it is answered again; 60 an hour are delivered.
    """
    with parts.database.write() as session:
        webhook = _found(session, caller, webhook_id, hold=True)
        return delivery_view(outbox.ping(session, webhook, now=now()))


@router.get("/{webhook_id}/deliveries", operation_id="list_deliveries", responses=LOOKUP_ERRORS)
def list_deliveries(
    parts: UseComponents, caller: UseCaller, webhook_id: str, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> DeliveryPage:
    """What was delivered, is to be, or could not be: newest first, with every try. Kept for 30 days."""
    with parts.database.read() as session:
        webhook = _found(session, caller, webhook_id)
        rows = outbox.deliveries(session, webhook.id, limit=limit + 1, after=paging.decode(cursor))
    shown, next_cursor = paging.cut(rows, limit)
    return DeliveryPage(data=tuple(map(delivery_view, shown)), next_cursor=next_cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="redeliver",
    status_code=202,
    responses=WRITE_ERRORS,
)
def redeliver(parts: UseComponents, caller: UseCaller, webhook_id: str, delivery_id: str) -> DeliveryView:
    """Deliver once more, under the same id, whatever came of it before."""
    with parts.database.write() as session:
        webhook = _found(session, caller, webhook_id)
        delivery = session.get(Delivery, delivery_id, with_for_update=True)
        if delivery is None or delivery.webhook_id != webhook.id:
            raise errors.NotFound(
                f"{webhook_id} has no delivery {delivery_id}.",
                suggestions=[f"GET /v1/webhooks/{webhook_id}/deliveries lists them."],
            )
        outbox.again(delivery, now=now())
        return delivery_view(delivery)


def _found(session: Session, caller: Caller, webhook_id: str, *, hold: bool = False) -> Webhook:
    webhook = webhooks.get(session, webhook_id, hold=hold)
    if webhook is None or not caller.sees(webhook.owner):
        kind = kind_of(webhook_id)
        named = f" {webhook_id} names {kind}." if kind not in (None, "a webhook") else ""
        raise errors.NotFound(
            f"There is no webhook {webhook_id}.{named}", suggestions=["GET /v1/webhooks lists the webhooks."]
        )
    return webhook
