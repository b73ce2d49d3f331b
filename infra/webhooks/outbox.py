"""The outbox: deliveries to webhooks that wait to be sent. Functions work inside the caller's transaction.

A delivery is written in the transaction of the change that it reports, and a worker takes it by compare-and-swap before
it sends it. So every change is delivered at least once, however often gateways and workers die.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from infra.db.pages import newest_first
from infra.db.tables import Delivery, Job, Upload, Webhook
from infra.telemetry import trace_context
from secateur.errors import RateLimited
from secateur.ids import new_id
from secateur.protocol.states import JobState, UploadState
from secateur.protocol.webhooks import OF_JOBS, OF_UPLOADS, Notice, NoticeType

MAX_PINGS: Final = 60
"""Most pings of one webhook in an hour. Only one of them waits at a time."""

PAUSES_SECONDS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 36_000, 50_400, 72_000)
"""The pauses between the tries of one delivery: ten tries in nearly three days, as Standard Webhooks recommends."""

SENDING_SECONDS: Final = 60.0
"""How long a worker has to send a delivery that it took. After that, another worker may take it."""

KEPT: Final = timedelta(days=30)
"""How long deliveries that have ended stay in the log."""


@dataclass(frozen=True)
class DeliveryAttempt:
    """The result of one try of a delivery."""

    status: int | None
    """The status of the answer; None: there was no answer."""
    said: str
    """The beginning of the answer, or why there was none."""
    seconds: float
    retry_after_seconds: float | None = None

    @property
    def arrived(self) -> bool:
        """Whether the receiver accepted the delivery."""
        return self.status is not None and 200 <= self.status < 300


def queue_job_notice(session: Session, job: Job, *, now: datetime) -> None:
    """Queue deliveries about the end of a job. There are none for checks of uploads and trials of sweeps."""
    notice = OF_JOBS.get(JobState(job.state))
    if notice is None or job.upload_id is not None or job.parent_id is not None:
        return
    failure = None if job.failure is None else {name: job.failure[name] for name in ("code", "detail", "blame")}
    data = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "attempt": job.attempt,
        "labels": job.spec.get("labels", {}),
        "model_id": job.model_id,
        "dataset_id": job.dataset_id,
        "failure": failure,
        "url": f"/v1/jobs/{job.id}",
    }
    with trace_context.working_in_span(job.traceparent or trace_context.current()):
        _queue_for_subscribers(session, job.owner, notice, data, now)


def queue_upload_notice(session: Session, upload: Upload, *, now: datetime) -> None:
    """Queue deliveries about the result of an upload's check."""
    notice = OF_UPLOADS.get((upload.kind, UploadState(upload.state)))
    if notice is None:
        return
    failure = None if upload.failure is None else {name: upload.failure[name] for name in ("code", "detail", "blame")}
    data = {
        "id": upload.id,
        "name": upload.name,
        "digest": upload.digest,
        "state": upload.state,
        "failure": failure,
        "url": f"/v1/{upload.kind}s/{upload.id}",
    }
    _queue_for_subscribers(session, upload.owner, notice, data, now)


def _queue_for_subscribers(
    session: Session, owner: str, notice: NoticeType, data: Mapping[str, Any], now: datetime
) -> None:
    mine = select(Webhook).where(Webhook.owner == owner, Webhook.disabled_because.is_(None))
    held = mine.with_for_update(
        read=True, key_share=True
    )  # a webhook that is deleted now would make the whole transaction fail
    for webhook in session.scalars(held).all():
        if notice in webhook.subscriptions.split(","):
            queue(session, webhook, notice, data, now=now)


def queue(
    session: Session, webhook: Webhook, notice: NoticeType, data: Mapping[str, Any], *, now: datetime
) -> Delivery:
    """Write a delivery that is due at once.

    Args:
        session: the caller's transaction.
        webhook: the receiver.
        notice: the kind of the notice.
        data: the body of the notice.
        now: the time of the notice.
    """
    body = Notice(type=notice, timestamp=now, data=data).model_dump_json()
    delivery = Delivery(
        id=new_id("msg"),
        webhook_id=webhook.id,
        type=notice,
        body=body,
        state="pending",
        tries=[],
        due_at=now,
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    return delivery


def ping(session: Session, webhook: Webhook, *, now: datetime) -> Delivery:
    """Return the ping that waits to be delivered, or queue one. The caller has locked the webhook.

    Raises:
        RateLimited: there were as many pings in the last hour as are allowed.
    """
    mine = (Delivery.webhook_id == webhook.id, Delivery.type == "ping")
    waiting = session.scalar(select(Delivery).where(*mine, Delivery.state == "pending").limit(1))
    if waiting is not None:
        return waiting
    recent = select(func.count()).where(*mine, Delivery.created_at > now - timedelta(hours=1))
    if (session.scalar(recent) or 0) >= MAX_PINGS:
        raise RateLimited(
            f"{webhook.id} was pinged {MAX_PINGS} times within an hour.",
            suggestions=["Send one of them again: POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver."],
        )
    return queue(session, webhook, "ping", {"webhook_id": webhook.id}, now=now)


def again(delivery: Delivery, *, now: datetime) -> None:
    """Queue a delivery again, with the same id and all its tries. Earlier tries stay in the log."""
    delivery.state, delivery.due_at, delivery.failed_tries = "pending", now, 0


def _due(now: datetime) -> ColumnElement[bool]:
    enabled = select(Webhook.id).where(Webhook.disabled_because.is_(None))
    return and_(Delivery.state == "pending", Delivery.due_at <= now, Delivery.webhook_id.in_(enabled))


def owners_due(session: Session, *, now: datetime) -> Sequence[str]:
    """Return the owners with due deliveries, those that wait longest first. No row is locked."""
    waiting = select(Webhook.owner).join(Delivery, Delivery.webhook_id == Webhook.id).where(_due(now))
    return session.scalars(waiting.group_by(Webhook.owner).order_by(func.min(Delivery.due_at))).all()


def take(session: Session, owner: str, *, now: datetime) -> tuple[Delivery, Webhook] | None:
    """Take the owner's delivery that has been due longest, for ``SENDING_SECONDS``.

    Only one of several workers gets it.
    """
    mine = Delivery.webhook_id.in_(select(Webhook.id).where(Webhook.owner == owner))
    due = select(Delivery.id).where(_due(now), mine).order_by(Delivery.due_at).limit(1)
    taken = session.execute(
        update(Delivery)
        .where(Delivery.id == due.with_for_update(skip_locked=True).scalar_subquery(), _due(now))
        .values(due_at=now + timedelta(seconds=SENDING_SECONDS))
        .returning(Delivery)
    ).scalar_one_or_none()
    webhook = None if taken is None else session.get(Webhook, taken.webhook_id)
    return None if taken is None or webhook is None else (taken, webhook)


def settle(session: Session, delivery_id: str, tried: DeliveryAttempt, *, jitter: float, now: datetime) -> None:
    """Write the result of a try: delivered, to be tried again later, or failed after the last try.

    Args:
        session: the caller's transaction.
        delivery_id: of the delivery.
        tried: the result.
        jitter: from 0 to 1; changes the pause by up to a tenth, so that failed deliveries are not retried all at once.
        now: the time of the result.
    """
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.state != "pending":
        return
    entry = {"at": now.isoformat(), "status": tried.status, "said": tried.said, "seconds": round(tried.seconds, 3)}
    delivery.tries = [*delivery.tries, entry][-2 * len(PAUSES_SECONDS) :]
    if tried.arrived:
        delivery.state = "delivered"
        return
    if tried.status == 410:
        _disable(session, delivery.webhook_id, "The receiver answered 410 Gone.")
    if tried.status == 410 or delivery.failed_tries >= len(PAUSES_SECONDS):
        delivery.state = "failed"
        return
    pause = PAUSES_SECONDS[delivery.failed_tries] * (0.9 + 0.2 * jitter)
    delivery.due_at = now + timedelta(seconds=max(pause, min(tried.retry_after_seconds or 0.0, 86_400.0)))
    delivery.failed_tries += 1


def _disable(session: Session, webhook_id: str, why: str) -> None:
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(disabled_because=why))
    session.execute(
        update(Delivery).where(Delivery.webhook_id == webhook_id, Delivery.state == "pending").values(state="failed")
    )


def deliveries(
    session: Session, webhook_id: str, *, limit: int, after: tuple[datetime, str] | None = None
) -> Sequence[Delivery]:
    """Return the deliveries of a webhook that come after the position ``(created_at, id)``, newest first."""
    query = select(Delivery).where(Delivery.webhook_id == webhook_id)
    return newest_first(session, Delivery, query, limit=limit, after=after)


def forget(session: Session, *, now: datetime) -> None:
    """Remove deliveries that ended more than ``KEPT`` ago."""
    session.execute(delete(Delivery).where(Delivery.state != "pending", Delivery.created_at < now - KEPT))
