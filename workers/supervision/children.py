"""The children of a worker: each has a folder of its own, is confined, and may be started before there is a job.

Importing the engine takes seconds. So one child per slot waits with all imports done, and a job gets it at once. The
next child is started when that job has ended, because two would compete for the processors. One thread, which lives as
long as the worker, starts all waiting children: the kernel kills a child when the thread that started it ends.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.backoff import Backoff
from infra.telemetry.logs import logger
from secateur.protocol.work import WorkKind
from workers.sandbox.confinement import Confinement
from workers.sandbox.level import Sandbox, hand_over
from workers.supervision import fonts
from workers.supervision.assignments import OUT
from workers.supervision.process import Child, child_command
from workers.supervision.scratch import remove

POLL_SECONDS: Final = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""The pauses after a waiting child has died."""

LIGHT: Final[frozenset[WorkKind]] = frozenset({"check_dataset"})
"""Kinds that import little: a new child is ready sooner than one that is still importing everything."""

OFF: Final = Sandbox("off", parts=())

Command = Callable[[Sequence[WorkKind], Confinement | None], Sequence[str]]


@dataclass(frozen=True)
class ChildLease:
    """A child with its folder and its rules."""

    child: Child
    folder: Path
    confinement: Confinement | None

    def admit(self) -> None:
        """Give the files that were put into the folder to the child's account."""
        hand_over(self.folder, self.confinement)


@dataclass
class Children:
    """Leases children to jobs.

    Any number of threads may call ``lease_child``; ``kept_warm`` starts children in advance.
    """

    root: Path
    sandbox: Sandbox = OFF
    memory_bytes: int | None = None
    command: Command = child_command
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _waiting: list[ChildLease] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Event = field(default_factory=threading.Event)
    _num_leased: int = 0
    _fonts: Mapping[str, bytes] = field(default_factory=dict)

    @contextmanager
    def lease_child(self, kind: WorkKind) -> Iterator[ChildLease]:
        """Give a child for a job of this kind: a waiting one, or a new one. The child and its folder are removed at the
        end.

        Raises:
            OSError: the system can start no more processes.
        """
        with self._lock:
            self._num_leased += 1
            leased = self._best_for(kind)
            if leased is not None:
                self._waiting.remove(leased)
        try:
            leased = leased or self._start((kind,))
            yield leased
        finally:
            try:
                if leased is not None:
                    _end(leased)
            finally:
                with self._lock:
                    self._num_leased -= 1
                self._changed.set()

    def _best_for(self, kind: WorkKind) -> ChildLease | None:
        alive = [leased for leased in self._waiting if not leased.child.has_exited()]
        ready = [leased for leased in alive if leased.child.has_event()]
        return next(iter(ready or ([] if kind in LIGHT else alive)), None)

    @contextmanager
    def kept_warm(
        self, kinds: Sequence[WorkKind], *, slots: int, draining: threading.Event | None = None
    ) -> Iterator[None]:
        """Keep a child waiting for each slot without a job, while the block runs and the worker is not draining."""
        ended = threading.Event()
        unwanted = draining or ended
        thread = threading.Thread(target=self._keep, args=(kinds, slots, ended, unwanted), name="children", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            self._changed.set()
            thread.join()

    def _keep(self, kinds: Sequence[WorkKind], slots: int, ended: threading.Event, unwanted: threading.Event) -> None:
        backoff, not_before = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), 0.0
        while not ended.is_set():
            with self._lock:
                dead = [leased for leased in self._waiting if leased.child.has_exited()]
                self._waiting = [leased for leased in self._waiting if leased not in dead]
                wanted = slots - self._num_leased - len(self._waiting)
                self._learn_fonts()
            for leased in dead:
                logger("workers").warning("a waiting child died", how=leased.child.exit_reason())
                _end(leased)
                not_before = time.monotonic() + backoff.next_pause_seconds()
            if wanted > 0 and not unwanted.is_set() and time.monotonic() >= not_before:
                self._add(kinds)
            else:
                self._changed.wait(POLL_SECONDS)
                self._changed.clear()
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for leased in waiting:
            _end(leased)

    def _learn_fonts(self) -> None:
        """Read the list of fonts of a waiting child.

        Call it with the lock held, so that the child gets no job meanwhile.
        """
        ready = () if self._fonts else (leased for leased in self._waiting if leased.child.has_event())
        self._fonts = next(filter(None, (fonts.font_lists(leased.folder) for leased in ready)), self._fonts)

    def _add(self, kinds: Sequence[WorkKind]) -> None:
        try:
            leased = self._start(kinds)
        except OSError as fault:
            logger("workers").warning("no child could be started", fault=str(fault))
            self._changed.wait(POLL_SECONDS)
            return
        with self._lock:
            self._waiting.append(leased)

    def _start(self, kinds: Sequence[WorkKind]) -> ChildLease:
        number = next(self._numbers)
        folder = self.root / f"child-{number}"
        try:
            (folder / OUT).mkdir(parents=True)
            folder.chmod(0o700)
            fonts.write_font_lists(self._fonts, folder)
            confinement = self.sandbox.confinement(folder, number)
            hand_over(folder, confinement)
            child = Child.spawn(self.command(kinds, confinement), folder=folder, memory_bytes=self.memory_bytes)
        except OSError:
            remove(folder)
            raise
        return ChildLease(child, folder, confinement)


def _end(leased: ChildLease) -> None:
    leased.child.kill()
    remove(leased.folder)
