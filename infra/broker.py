"""The message broker: Celery over Redis or Valkey. A message notifies a worker of a job's id, and carries nothing else.

The settings follow measurements; docs/decisions/0004 says which and why.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery
from kombu import entity
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.circuit_breaker import CircuitBreaker
from infra.db.tables import Job
from secateur.errors import Unavailable
from secateur.protocol.work import QUEUE_OF, QUEUES, RUN_TASK, Queue

KEY_PREFIX = "secateur:"
ANSWER_SECONDS = 2.0
"""How long to wait for an answer of the broker. All requests to it are cheap."""

VISIBILITY_SECONDS = 3600
"""When a message that was not acknowledged is delivered again. The second claim of a job fails, so this is harmless."""


def celery_app(broker_url: str) -> Celery:
    """Return a Celery application for this broker. It does not connect yet."""
    app = Celery("secateur", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_create_missing_queues=False,
        task_queues=[entity.Queue(name) for name in QUEUES],
        task_default_queue="jobs",
        # A worker takes a message whenever a slot is free. If unacknowledged messages counted, a broker that fails
        # while all slots are busy would leave the worker without messages for ever.
        worker_prefetch_multiplier=0,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        visibility_timeout=VISIBILITY_SECONDS,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "health_check_interval": 25,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "global_keyprefix": KEY_PREFIX,
            "queue_order_strategy": "priority",
        },
    )
    return app


class Publisher:
    """Publishes the messages that notify workers of jobs."""

    def __init__(self, app: Celery) -> None:
        """Publish through ``app``, whose time-outs become short.

        A worker's application must not be used: it has to wait for messages.
        """
        self._app = app
        limits = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
        app.conf.broker_transport_options = app.conf.broker_transport_options | limits
        self._breaker = CircuitBreaker("The broker does not answer.")

    def publish(self, job: Job) -> None:
        """Send a job's id to its queue.

        Raises:
            Unavailable: the broker does not answer, or is full. The row stays queued; a reaper sends the message later.
        """
        queue = QUEUE_OF[job.kind]  # type: ignore[index]
        self.ping()  # fails at once; kombu's client would retry for six seconds
        try:
            self._app.send_task(RUN_TASK, args=[job.id], queue=queue, retry=False)
        except (OperationalError, redis.RedisError, OSError) as fault:
            if _is_timeout(fault) or _is_timeout(fault.__cause__):
                self._breaker.open()
            raise Unavailable(f"The broker takes no message: {fault}") from fault

    def waiting(self, queue: Queue) -> int:
        """Return how many messages wait in a queue.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._breaker.check(self._probe)
        with self._guarded() as client:
            return int(client.llen(KEY_PREFIX + queue))

    def ping(self) -> None:
        """Raise ``Unavailable`` unless the broker answers within two seconds."""
        if not self._breaker.check(self._probe):
            self._probe()

    def _probe(self) -> None:
        with self._guarded() as client:
            client.ping()

    @contextmanager
    def _guarded(self) -> Iterator[Any]:
        try:
            with connect(self._app.conf.broker_url) as client:
                yield client
        except (redis.RedisError, OSError) as fault:
            if _is_timeout(fault):
                self._breaker.open()
            raise Unavailable("The broker does not answer.") from fault


def _is_timeout(fault: BaseException | None) -> bool:
    return isinstance(fault, redis.TimeoutError | TimeoutError)


def connect(url: str) -> Any:
    """Return a plain Redis client for a URL of Celery, which writes ``redis+socket://`` for redis-py's ``unix://``."""
    plain = url.replace("redis+socket://", "unix://", 1)
    once = Retry(NoBackoff(), retries=0)
    return redis.Redis.from_url(plain, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=once)
