"""Tables of API keys, limits of owners, webhooks and their deliveries."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.tables.table import Table
from infra.telemetry import trace_context


class ApiKey(Table):
    """An API key. The row holds the digest of its secret, and the digest of the secret before that, but no secret.

    The key gives access to the uploads and jobs of ``owner``. ``scopes`` are names separated by commas.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(256))
    scopes: Mapped[str] = mapped_column(String(64))
    secret_digest: Mapped[str] = mapped_column(String(80))
    former_digest: Mapped[str | None] = mapped_column(String(80))
    former_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class OwnerLimits(Table):
    """The limits of one owner that differ from the settings. Null: as the settings say. 0: no limit."""

    __tablename__ = "owner_limits"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    queued_jobs: Mapped[int | None]
    running_jobs: Mapped[int | None]
    queued_checks: Mapped[int | None]
    requests_per_minute: Mapped[int | None]
    max_upload_bytes: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime]


class Webhook(Table):
    """A URL of an owner that notices are sent to. ``subscriptions`` are kinds of notices separated by commas.

    The secrets are stored in clear text, because signing needs the secret itself.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "owner", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(2048))
    subscriptions: Mapped[str] = mapped_column(String(256))
    description: Mapped[str] = mapped_column(String(256))
    secret: Mapped[str] = mapped_column(String(80))
    former_secret: Mapped[str | None] = mapped_column(String(80))
    former_until: Mapped[datetime | None]
    disabled_because: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime]


class Delivery(Table):
    """One notice for one webhook: its exact body, the result of each try, and when the next try is due.

    ``traceparent`` is the span that the notice belongs to. For a notice about a job it is the span of the request that
    created the job.
    """

    __tablename__ = "deliveries"
    __table_args__ = (Index(None, "state", "due_at"), Index(None, "webhook_id", "created_at", "id"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(32))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    tries: Mapped[list[dict[str, Any]]]
    failed_tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    traceparent: Mapped[str | None] = mapped_column(String(trace_context.MAX_CHARACTERS), default=trace_context.current)
