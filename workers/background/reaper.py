"""The reaper: a thread in every worker that recovers from crashes, and writes the heartbeat of this worker.

Any number of reapers may run at once: each step is a compare-and-swap, and a message sent twice runs a job once.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from infra.accounts import owner_limits, quotas
from infra.broker import Publisher
from infra.db import clock, counters
from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import idempotency, recovery, workers
from infra.jobs.dispatch import dispatch
from infra.settings import Settings
from infra.telemetry.logs import logger
from secateur.errors import SecateurError, ServiceError
from secateur.protocol.work import QUEUE_OF, Queue
from workers.supervision import counters as counted

RESEND_SECONDS = 15.0
"""The age from which the message of a queued job may be lost."""

STALE_SECONDS = 600.0
"""The age from which a message is sent again although its queue is not empty: that may hold messages of other jobs."""


class Reaper:
    """Recovers jobs and resends messages; ``tick`` does it once."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        settings: Settings,
        queues: Iterable[str],
        *,
        sandbox: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._queues = ",".join(queues)
        self._sandbox = sandbox
        self._clock = clock
        self._skip_lost_until = -math.inf
        self._worker_id = f"{socket.gethostname()}-{os.getpid()}"

    def tick(self) -> int:
        """Write a heartbeat, recover jobs, and send the messages that are due. Return how many were sent.

        Raises:
            Unavailable: the database or the broker does not answer. The next tick continues.
        """
        try:
            due, now = self._recover()
        except ServiceError:  # other workers could not renew their leases either; let them do so first
            self._skip_lost_until = self._clock() + self._settings.lease_seconds
            raise
        return dispatch(self._database, self._publisher, self._missing(due, now))

    def _recover(self) -> tuple[Sequence[Job], datetime]:
        """Recover from crashes. Return the jobs whose messages are due, and the time of the database."""
        with self._database.write() as session:
            workers.record_heartbeat(session, self._worker_id, queues=self._queues, sandbox=self._sandbox)
            lost: list[Job] = []
            due = recovery.recover(
                session,
                max_attempts=self._settings.max_attempts,
                resend_seconds=RESEND_SECONDS,
                on_lost=lost.append,
                skip_lost=self._clock() < self._skip_lost_until,
            )
            due = quotas.startable(session, due, owner_limits.reader(self._settings))
            idempotency.forget(session, older_than_seconds=self._settings.idempotency_seconds)
            now = clock.read(session)
            counters.add(session, counters.merged(map(counted.lost, lost)))
            return due, now

    def _missing(self, due: Iterable[Job], now: datetime) -> Iterator[Job]:
        """Yield the jobs whose message was never sent, is very old, or was sent to a queue that is empty now.

        Without this check, every tick would add another message for each job of a long queue.
        """
        waiting: dict[Queue, int] = {}
        for job in due:
            queue = QUEUE_OF[job.kind]  # type: ignore[index]
            if job.published_at is None or job.published_at < now - timedelta(seconds=STALE_SECONDS):
                yield job
            else:
                if queue not in waiting:
                    waiting[queue] = self._publisher.waiting(queue)
                if waiting[queue] == 0:
                    yield job

    def remove_heartbeat(self) -> None:
        """Delete the heartbeat of this worker."""
        with self._database.write() as session:
            workers.remove_heartbeat(session, self._worker_id)


@contextmanager
def reaping(reaper: Reaper, *, every_seconds: float) -> Iterator[None]:
    """Run the reaper in a thread while the block runs."""
    ended = threading.Event()

    def loop() -> None:
        while True:
            try:
                reaper.tick()
            except SecateurError as fault:
                logger("workers").warning("recovery postponed", fault=fault.detail)
            except Exception:  # noqa: BLE001 - if the reaper stopped, lost jobs would stay lost
                logger("workers").exception("recovery failed")
            if ended.wait(every_seconds):
                return

    thread = threading.Thread(target=loop, name="reaper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(SecateurError):
            reaper.remove_heartbeat()
