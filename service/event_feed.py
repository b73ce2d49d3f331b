"""Events as they come, for any number of readers: one look at the database tells all of them.

While anybody reads, one task asks twice a second how far the jobs that are read have come: one query for all of them,
and one more for each job that has something new. What came lately is kept once for all readers of a job; who is further
behind reads from the database, at its own pace and a few at a time.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from sqlalchemy.orm import Session

from infra.db.database import Database
from infra.jobs import events
from infra.jobs.events import EventPosition
from infra.telemetry.logs import logger
from secateur.protocol.events import JobEvent
from secateur.protocol.states import FINAL

POLL_SECONDS: Final = 0.5
LEAVE_SECONDS: Final = 0.1
"""How soon readers are told that their gateway goes."""

MAX_RECENT: Final = 256
PAGE: Final = 200
THREADS: Final = 4
"""Reads of the database at the same time. The other threads of the gateway are left to other requests."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
News = tuple[EventPosition, list[JobEvent] | None]
"""How far a job is, and what came since; None when that was too much to be kept."""


@dataclass
class Channel:
    """What the readers of one job share."""

    job_id: str
    pulse: EventPosition
    readers: int = 0
    gone: bool = False
    recent: tuple[JobEvent, ...] = ()
    complete_after: int = 0
    """Every event behind this number is in ``recent``."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self.gone or self.pulse.state in FINAL

    def announce(self) -> None:
        """Wake all who wait; who waits from now on waits for the next change."""
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()

    def take(self, pulse: EventPosition, fresh: list[JobEvent] | None) -> None:
        """Add what came since the pulse that is known."""
        if fresh is None:
            self.recent, self.complete_after = (), pulse.last
        else:
            told = (*self.recent, *fresh)
            self.recent = told[-MAX_RECENT:]
            if len(told) > MAX_RECENT:
                self.complete_after = self.recent[0].number - 1
        self.pulse = pulse
        self.announce()

    async def wait(self, seconds: float, *, since: asyncio.Event) -> None:
        """Wait for the change that ``since`` stands for (``changed``, taken before looking), but only so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(since.wait(), max(seconds, 0.0))


class Feed:
    """The channels of all jobs that somebody reads. Belongs to the event loop of one gateway."""

    def __init__(self, database: Database, leaving: threading.Event) -> None:
        self.leaving = leaving
        self._database = database
        self._channels: dict[str, Channel] = {}
        self._poller: asyncio.Task[None] | None = None
        self._threads: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def reading(self, job_id: str) -> AsyncIterator[Channel | None]:
        """The channel of a job while the block runs; None when there is no such job.

        Raises:
            Unavailable: the database does not answer.
        """
        if job_id not in self._channels:
            pulse = (await self.in_thread(self._pulses, (job_id,))).get(job_id)
            if pulse is None:
                yield None
                return
            self._channels.setdefault(job_id, Channel(job_id, pulse, complete_after=pulse.last))
        channel = self._channels[job_id]
        channel.readers += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield channel
        finally:
            channel.readers -= 1
            if not channel.readers:
                del self._channels[job_id]
            if not self._channels:
                self._poller.cancel()
                self._poller = None

    async def since(self, channel: Channel, after: int) -> list[JobEvent]:
        """Events behind a number: all that are new, or a page of them; none when there are none."""
        if after >= channel.pulse.last:
            return []
        if after >= channel.complete_after:
            return [event for event in channel.recent if event.number > after]
        return await self.in_thread(self._page, channel.job_id, after)

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run a blocking read, beside at most a few others."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._threads)

    async def _poll(self) -> None:
        while True:
            await self._pause()
            try:
                await self._look()
            except Exception as fault:  # noqa: BLE001 - readers wait for the next look; who connects anew is told
                logger("gateway").warning("events not read", fault=str(fault))

    async def _pause(self) -> None:
        """Until the next look, or until this gateway is told to go."""
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and not self.leaving.is_set():
            await asyncio.sleep(LEAVE_SECONDS)
        if self.leaving.is_set():
            await asyncio.sleep(LEAVE_SECONDS)

    async def _look(self) -> None:
        known = {job_id: channel.pulse for job_id, channel in self._channels.items()}
        news = {} if self.leaving.is_set() else await self.in_thread(self._news, known)
        for job_id in known:
            channel = self._channels.get(job_id)
            if channel is None:
                continue
            if self.leaving.is_set():
                channel.announce()
            elif job_id not in news:
                channel.gone = True
                channel.announce()
            elif channel.pulse != news[job_id][0]:
                channel.take(*news[job_id])

    def _pulses(self, job_ids: tuple[str, ...]) -> dict[str, EventPosition]:
        with self._database.read() as session:
            return events.event_positions(session, job_ids)

    def _news(self, known: Mapping[str, EventPosition]) -> dict[str, News]:
        with self._database.read() as session:
            found = events.event_positions(session, list(known))
            return {
                job_id: (pulse, self._fresh(session, job_id, known[job_id], pulse)) for job_id, pulse in found.items()
            }

    def _fresh(
        self, session: Session, job_id: str, known: EventPosition, pulse: EventPosition
    ) -> list[JobEvent] | None:
        if pulse.last <= known.last:
            return []
        page = events.page(session, job_id, after=known.last, limit=MAX_RECENT + 1)
        return None if len(page) > MAX_RECENT else [event for event in page if event.number <= pulse.last]

    def _page(self, job_id: str, after: int) -> list[JobEvent]:
        with self._database.read() as session:
            return events.page(session, job_id, after=after, limit=PAGE)
