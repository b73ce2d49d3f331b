"""Records the events of a child: as the steps of its job, and as the entries that the next heartbeat writes.

A heartbeat writes a limited amount, whatever a child sends: one event per second about the progress of a step, and a
limited number of others. Two threads use it: one reads the child's events, the other writes heartbeats.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from infra.jobs.events import Entry
from secateur.protocol.progress import Event, LogLine, StepAdvanced, StepFinished, StepProgress, StepStarted, advance

PROGRESS_SECONDS: Final = 1.0
MAX_PENDING: Final = 200
"""Most events between two heartbeats. Further events are counted, not kept."""


class Recorder:
    """The steps of one attempt, and the events that are not written yet."""

    def __init__(self, steps: tuple[StepProgress, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: list[tuple[float, Entry]] = []
        self._left_out = 0
        self._advance: tuple[float, Entry] | None = None
        self._progress_at = -PROGRESS_SECONDS

    @property
    def steps(self) -> tuple[StepProgress, ...]:
        """The steps with their progress."""
        return self._steps

    def record_event(self, event: Event) -> None:
        """Record an event of the child. Events that change nothing, and those of unplanned steps, are ignored."""
        with self._lock:
            before, self._steps = self._steps, advance(self._steps, event)
            match event:
                case LogLine():
                    body = {"message": event.message, "logger": event.logger}
                    self._note(Entry("log", body, event.level))
                case StepAdvanced() if self._steps != before:
                    body = event.model_dump(exclude={"event"}, exclude_none=True)
                    self._advance = (self._clock(), Entry("progress", body))
                case StepStarted() | StepFinished() if self._steps != before:
                    self._flush_progress()
                    step = next(step for step in self._steps if step.name == event.step)
                    changed = step.model_dump(mode="json", include={"state", "seconds", "message"}, exclude_none=True)
                    self._note(Entry("step", {"step": step.name} | changed))

    def add_entry(self, entry: Entry) -> None:
        """Add an event of the worker itself."""
        with self._lock:
            self._note(entry)

    @contextmanager
    def to_write(self) -> Iterator[list[Entry]]:
        """Give the events to write, to one writer at a time. They are removed if the block ends without an error."""
        with self._writing:
            with self._lock:
                if self._clock() >= self._progress_at + PROGRESS_SECONDS:
                    self._flush_progress()
                now, taken, left_out = self._clock(), len(self._pending), self._left_out
                due = [replace(entry, age_seconds=now - at) for at, entry in self._pending]
            if left_out:
                text = f"{left_out} events are left out here: too many came at once."
                due.append(Entry("log", {"message": text, "logger": "worker"}, "warning"))
            yield due
            with self._lock:
                del self._pending[:taken]
                self._left_out -= left_out

    def _flush_progress(self) -> None:
        if self._advance is not None:
            self._pending.append(self._advance)
            self._progress_at, self._advance = self._clock(), None

    def _note(self, entry: Entry) -> None:
        if len(self._pending) < MAX_PENDING:
            self._pending.append((self._clock(), entry))
        else:
            self._left_out += 1
