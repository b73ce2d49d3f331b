"""What a child tells, folded into the steps of its job and into the events that the next heartbeat writes.

However much a child says, a heartbeat writes little: of how far a step is, one event a second; of all else, a bounded
number. Used by two threads, one that listens and one that writes.
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
"""Events between two heartbeats. What is changed beyond that is counted, not kept."""


class Recorder:
    """The steps of one attempt, and its events that are not written yet."""

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
        return self._steps

    def record_event(self, event: Event) -> None:
        """Take in one event of the child. What changes nothing leaves no trace; unplanned steps neither."""
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
        """Add an event of the worker's own."""
        with self._lock:
            self._note(entry)

    @contextmanager
    def to_write(self) -> Iterator[list[Entry]]:
        """The events that are due, for one writer at a time; forgotten when the block ends without an error."""
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
