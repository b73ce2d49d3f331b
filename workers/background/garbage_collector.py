"""A thread in every worker that removes expired rows, bytes without a row, and working folders of dead workers."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.cleanup.garbage_collection import collect
from infra.db.database import Database, now
from infra.settings import Settings
from infra.storage.store import Store
from infra.telemetry.logs import logger
from secateur.errors import SecateurError
from workers.supervision.scratch import remove_abandoned


@dataclass(frozen=True)
class Collector:
    """Collects garbage; ``tick`` does it once."""

    database: Database
    store: Store
    settings: Settings

    def tick(self) -> None:
        """Collect garbage in the scratch folder, the database and the store.

        Raises:
            Unavailable: the database or the store does not answer. The next tick continues.
        """
        remove_abandoned(self.settings.scratch)
        collect(self.database, self.store, grace_seconds=self.settings.collect_grace_seconds, now=now())


@contextmanager
def collecting(collector: Collector, *, every_seconds: float) -> Iterator[None]:
    """Collect garbage in a thread while the block runs.

    The first pause is random, so that workers do not collect at once.
    """
    ended = threading.Event()

    def loop() -> None:
        pause = random.uniform(0.5, 1.0) * every_seconds
        while not ended.wait(pause):
            pause = every_seconds
            try:
                collector.tick()
            except SecateurError as fault:
                logger("workers").warning("collection postponed", fault=fault.detail)
            except Exception:  # noqa: BLE001 - if the collector stopped, the disk would fill up
                logger("workers").exception("collection failed")

    thread = threading.Thread(target=loop, name="collect", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
