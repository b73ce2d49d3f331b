"""Delivers webhooks, in a few threads of every worker process.

Any number of workers may deliver, because each delivery is taken by compare-and-swap. One owner may occupy two threads
at most, so that slow receivers do not delay the deliveries of other owners.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

from infra.db.database import Database, now
from infra.db.tables import Delivery, Webhook
from infra.telemetry import trace_context
from infra.telemetry.logs import logger
from infra.telemetry.traces import Span, Traces, Value
from infra.webhooks import outbound, outbox, signing, webhooks
from infra.webhooks.dns import Lookups
from infra.webhooks.outbox import DeliveryAttempt
from secateur.errors import SecateurError
from workers.fair_scheduler import FairScheduler

NUM_THREADS: Final = 6
POLL_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 3600.0


class WebhookDelivery:
    """Delivers what is due; ``deliver`` sends one delivery."""

    def __init__(
        self,
        database: Database,
        targets: outbound.Targets,
        lookups: Lookups | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._database = database
        self._targets = targets
        self._lookups = lookups or Lookups()
        self._traces = traces or Traces()
        self._scheduler = FairScheduler()

    def deliver(self) -> bool:
        """Take one delivery and try it. Return False if none is due, or only for owners that occupy enough threads.

        Raises:
            Unavailable: the database does not answer. If the delivery was sent, it is sent again with the same id.
        """
        with self._database.read() as session:
            waiting = outbox.owners_due(session, now=now())
        with self._scheduler.turn(waiting) as owner:
            return owner is not None and self._deliver_for(owner)

    def _deliver_for(self, owner: str) -> bool:
        with self._database.write() as session:
            taken = outbox.take(session, owner, now=now())
        if taken is None:
            return False
        delivery, webhook = taken
        attributes: dict[str, Value] = {
            "delivery": delivery.id,
            "webhook": webhook.id,
            "tries_before": len(delivery.tries),
        }
        span = self._traces.begin(f"deliver {delivery.type}", parent=delivery.traceparent, role="client", **attributes)
        with trace_context.working_in_span(span.traceparent):
            tried = self._try(delivery, webhook)
            _end(span, tried)
            with self._database.write() as session:
                outbox.settle(session, delivery.id, tried, jitter=random.random(), now=now())
            log = logger("webhooks").info if tried.arrived else logger("webhooks").warning
            log(delivery.type, delivery=delivery.id, webhook=webhook.id, status=tried.status, said=tried.said[:100])
        return True

    def _try(self, delivery: Delivery, webhook: Webhook) -> DeliveryAttempt:
        body, at, began = delivery.body.encode(), now(), time.monotonic()
        signed = signing.headers(delivery.id, int(at.timestamp()), body, webhooks.secrets_of(webhook, now=at))
        try:
            resolve = partial(self._lookups.find, owner=webhook.owner)
            answer = outbound.post(webhook.url, body, signed, targets=self._targets, resolve=resolve)
        except outbound.Unreachable as fault:
            return DeliveryAttempt(None, str(fault), time.monotonic() - began)
        except Exception as fault:  # noqa: BLE001 - a delivery without a result would be tried each minute for ever
            logger("webhooks").exception("unexpected error", delivery=delivery.id)
            return DeliveryAttempt(None, f"{type(fault).__name__}: {str(fault)[:200]}", time.monotonic() - began)
        return DeliveryAttempt(
            answer.status, answer.text, time.monotonic() - began, retry_after_seconds_of(answer.retry_after, now=now())
        )

    def forget(self) -> None:
        """Remove old deliveries from the log."""
        with self._database.write() as session:
            outbox.forget(session, now=now())


def _end(span: Span, tried: DeliveryAttempt) -> None:
    """End the span with the result of a try.

    The text of the answer is for the webhook's owner, not for the operator.
    """
    if tried.status is not None:
        span.note(status=tried.status)
    span.end(None if tried.arrived else "not reached" if tried.status is None else f"status {tried.status}")


def retry_after_seconds_of(retry_after: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, as a number or a date; None if it is neither.

    >>> retry_after_seconds_of("120", now=datetime.now(UTC))
    120.0
    """
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


@contextmanager
def delivering(deliverer: WebhookDelivery) -> Iterator[None]:
    """Deliver in threads while the block runs. At its end, deliveries under way have a second to finish."""
    ended = threading.Event()

    def loop(is_first: bool) -> None:
        forgot = -FORGET_SECONDS
        while not ended.is_set():
            try:
                if is_first and time.monotonic() > forgot + FORGET_SECONDS:
                    deliverer.forget()
                    forgot = time.monotonic()
                if deliverer.deliver():
                    continue
            except SecateurError as fault:
                logger("webhooks").warning("delivery postponed", fault=fault.detail)
            except Exception:  # noqa: BLE001 - if the loop stopped, nothing would be delivered any more
                logger("webhooks").exception("delivery failed")
            ended.wait(POLL_SECONDS)

    threads = [
        threading.Thread(target=loop, args=[number == 0], name=f"webhooks-{number}", daemon=True)
        for number in range(NUM_THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=1.0)
