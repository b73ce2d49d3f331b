"""Announces the steps of a job and measures how long each takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.checkpoint.sections import Section, as_array, from_array
from engine.training.progress import Advance
from secateur.protocol.progress import Event, StepAdvanced, StepFinished, StepStarted


class Clock:
    """Tells that steps begin and end, and how long they took."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self.seconds: dict[str, float] = {}
        self._began, self._earlier = 0.0, 0.0

    @contextmanager
    def step(self, name: str, *, silent: bool = False) -> Iterator[list[str]]:
        """A step; what is put into the list becomes its closing message.

        Args:
            silent: nothing is told of it, because it has been told before.
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
        """A listener for the training inside a step."""
        return lambda at: self._emit(StepAdvanced(step=name, **vars(at)))

    def state_dict(self) -> Section:
        """What it has measured, and how long the step under way has taken so far."""
        return {"about": as_array({"seconds": self.seconds, "under_way": time.monotonic() - self._began})}

    def load_state_dict(self, section: Section | None) -> None:
        """Go on with the step that another process was in."""
        if section is not None:
            about = from_array(section["about"])
            self.seconds, self._earlier = about["seconds"], about["under_way"]
