"""What a job needs, looked at now and then: everybody may ask, and nobody can make the gateway look more often."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.broker import Publisher
from infra.db.database import Database
from infra.db.tables import Worker
from infra.jobs import workers
from infra.storage.store import Store
from infra.telemetry.logs import logger
from secateur.errors import ServiceError
from secateur.protocol.work import QUEUES
from service.monitoring.bounded_checks import within_time_limit

OK: Final = "ok"
MISSING: Final = "missing"
GOOD_SECONDS: Final = 3.0
BAD_SECONDS: Final = 1.0
"""Shorter, so that what has come back is told soon."""


@dataclass(frozen=True)
class Verdict:
    """What was found, with the reasons of what is missing."""

    checks: Mapping[str, str]
    """``ok`` or the reason, by part."""
    sandbox: Mapping[str, str]
    """What the jobs of each worker are confined by, by the worker's name."""

    @property
    def is_ready(self) -> bool:
        return all(verdict == OK for verdict in self.checks.values())

    def for_strangers(self) -> "Verdict":
        """The same without reasons and names of hosts.

        >>> Verdict({"store": "ok", "broker": "The broker does not answer."}, {"gpu7": "off"}).for_strangers()
        Verdict(checks={'store': 'ok', 'broker': 'missing'}, sandbox={})
        """
        return Verdict({name: OK if found == OK else MISSING for name, found in self.checks.items()}, {})


@dataclass
class Probe:
    """Looks when the last look is some seconds old: one look at a time, and whoever asks meanwhile waits for it."""

    database: Database
    publisher: Publisher
    store: Store
    alive_seconds: float
    """A worker that was silent for longer does not count."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[float, Verdict] | None = None

    async def verdict(self) -> Verdict:
        """The last verdict, or a new one when that is old."""
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._lock:
            if (fresh := self._fresh()) is not None:
                return fresh
            found = await self._look()
            self._tell(found)
            self._last = time.monotonic(), found
        return found

    def _fresh(self) -> Verdict | None:
        if self._last is None:
            return None
        at, found = self._last
        lasts = GOOD_SECONDS if found.is_ready else BAD_SECONDS
        return found if time.monotonic() < at + lasts else None

    def _tell(self, found: Verdict) -> None:
        """To the log, once for each change: strangers are not told why."""
        before = None if self._last is None else self._last[1].checks
        if found.checks != before and not found.is_ready:
            missing = {name: reason for name, reason in found.checks.items() if reason != OK}
            logger("gateway").warning("not ready", missing=missing)

    async def _look(self) -> Verdict:
        asked = {"database": self.database.ping, "broker": self.publisher.ping, "store": self.store.ping}
        checks = dict(zip(asked, await asyncio.gather(*map(_found, asked.values())), strict=True))
        if checks["database"] != OK:
            return Verdict(checks, {})
        try:
            rows = await within_time_limit(self._alive)
        except ServiceError as fault:
            return Verdict(checks | {"database": fault.detail}, {})
        served = {queue for row in rows for queue in row.queues.split(",")}
        checks |= {f"worker:{name}": OK if name in served else "No worker takes from this queue." for name in QUEUES}
        return Verdict(checks, {row.id: row.sandbox or "unknown" for row in rows if row.queues})

    def _alive(self) -> Sequence[Worker]:
        with self.database.read() as session:
            return workers.alive(session, within_seconds=self.alive_seconds)


async def _found(check: Callable[[], None]) -> str:
    try:
        await within_time_limit(check)
    except ServiceError as fault:
        return fault.detail
    return OK
