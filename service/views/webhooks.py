"""What the API takes and answers about webhooks."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast, get_args

from pydantic import Field, StringConstraints

from infra.db.tables import Delivery, Webhook
from secateur.frozen import Frozen
from secateur.protocol.webhooks import NoticeType, Subscription

ALL_OF_JOBS: Final[tuple[Subscription, ...]] = tuple(name for name in get_args(Subscription) if name.startswith("job."))
DAY_SECONDS: Final = 86_400

URL_PATTERN: Final = r"^https?://[^\s/@:#?]+(:[0-9]{1,5})?([/?][^\s#]*)?$"
"""Told, not asked: ``infra.webhooks.outbound.check_url`` judges, and says how to mend it."""
Url = Annotated[
    str, StringConstraints(min_length=1, max_length=2048), Field(json_schema_extra={"pattern": URL_PATTERN})
]
Subscriptions = Annotated[tuple[Subscription, ...], Field(min_length=1, max_length=len(get_args(Subscription)))]


class WebhookRequest(Frozen):
    """Who wants to be told of what."""

    url: Url = Field(description="Where notices are posted to.", examples=["https://ci.example.com/secateur"])
    subscriptions: Subscriptions = Field(default=ALL_OF_JOBS, description="Default: every end of a job.")
    description: str = Field(default="", max_length=256)


class WebhookChange(Frozen):
    """What is to be different; the rest stays."""

    url: Url | None = None
    subscriptions: Subscriptions | None = None
    description: str | None = Field(default=None, max_length=256)
    enabled: bool | None = Field(default=None, description="`true` also after a receiver answered 410.")


class SecretRotation(Frozen):
    """How to replace a secret."""

    grace_seconds: float = Field(
        default=DAY_SECONDS, ge=0, le=30 * DAY_SECONDS, description="How long deliveries are signed with both."
    )


class WebhookView(Frozen):
    """Where an owner is told of what."""

    id: str
    owner: str
    url: str
    subscriptions: tuple[Subscription, ...]
    description: str
    enabled: bool
    disabled_because: str | None = Field(description="Why nothing is delivered any more.")
    created_at: datetime


class NewSecret(WebhookView):
    """The same with its secret, which no other answer has."""

    secret: str = Field(description="`whsec_...`: what receivers verify deliveries with (standardwebhooks.com).")


class WebhookPage(Frozen):
    """Some webhooks, newest first."""

    data: tuple[WebhookView, ...]
    next_cursor: str | None


class TryView(Frozen):
    """How one try of a delivery went."""

    at: datetime
    status: int | None = Field(description="null: nobody answered.")
    said: str = Field(description="The beginning of the answer, or why there was none.")
    seconds: float


class DeliveryView(Frozen):
    """One notice for one webhook."""

    id: str = Field(description="Stands in `webhook-id`, the same for every try.")
    webhook_id: str
    type: NoticeType
    state: Literal["pending", "delivered", "failed"]
    body: str = Field(description="What is posted, to the byte.")
    tries: tuple[TryView, ...]
    next_try_at: datetime | None
    created_at: datetime


class DeliveryPage(Frozen):
    """Some deliveries, newest first."""

    data: tuple[DeliveryView, ...]
    next_cursor: str | None


def webhook_view(webhook: Webhook) -> WebhookView:
    """A row as a webhook."""
    return WebhookView.model_validate(_fields(webhook))


def secret_view(webhook: Webhook) -> NewSecret:
    """A row and its secret, for the one answer that has it."""
    return NewSecret.model_validate(_fields(webhook) | {"secret": webhook.secret})


def _fields(webhook: Webhook) -> dict[str, Any]:
    names = ("id", "owner", "url", "description", "disabled_because", "created_at")
    return {name: getattr(webhook, name) for name in names} | {
        "subscriptions": tuple(webhook.subscriptions.split(",")),
        "enabled": webhook.disabled_because is None,
    }


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A row as a delivery."""
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        type=cast(NoticeType, delivery.type),
        state=cast(Literal["pending", "delivered", "failed"], delivery.state),
        body=delivery.body,
        tries=tuple(map(TryView.model_validate, delivery.tries)),
        next_try_at=delivery.due_at if delivery.state == "pending" else None,
        created_at=delivery.created_at,
    )
