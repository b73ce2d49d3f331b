"""Announces the steps of a job and measures how long each takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.checkpoint.sections import Section, as_array, from_array
from engine.training.progress import Advance
from secateur.protocol.progress import Event, StepAdvanced, StepFinished, StepStarted


class Clock:
    """Emits an event when a step starts and ends, and measures how long it takes."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self.seconds: dict[str, float] = {}
        self._began, self._earlier = 0.0, 0.0

    @contextmanager
    def step(self, name: str, *, silent: bool = False) -> Iterator[list[str]]:
        """Time a step. The strings that the block adds to the list become its closing message.

        Args:
            silent: emit nothing, because an earlier process has emitted the events.
        """
        message = list[str]()
        if silent:
            yield message
            return
        self._emit(StepStarted(step=name))
        self._began, self._earlier = time.monotonic() - self._earlier, 0.0
        yield message
        self.seconds[name] = time.monotonic() - self._began
        self._emit(StepFinished(step=name, seconds=self.seconds[name], message="; ".join(message) or None))

    def advance(self, name: str) -> Callable[[Advance], None]:
        """A callback for progress inside a step."""
        return lambda at: self._emit(StepAdvanced(step=name, **vars(at)))

    def state_dict(self) -> Section:
        """The measured times, and how long the running step has taken so far."""
        return {"about": as_array({"seconds": self.seconds, "under_way": time.monotonic() - self._began})}

    def load_state_dict(self, section: Section | None) -> None:
        """Continue timing the step that an earlier process was in."""
        if section is not None:
            about = from_array(section["about"])
            self.seconds, self._earlier = about["seconds"], about["under_way"]
