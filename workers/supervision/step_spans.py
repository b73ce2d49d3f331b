"""The stretches of an attempt as spans of its job's trace, made by the worker: the child itself reaches no network."""

from collections.abc import Collection

from infra.telemetry.traces import Span
from secateur.protocol.progress import Event, StepFinished, StepStarted


class StepSpans:
    """What is under way in one attempt. Called by one thread."""

    def __init__(self, attempt: Span, steps: Collection[str]) -> None:
        """Begin.

        Args:
            steps: the names of those that are planned; what a child tells of others leaves no trace.
        """
        self._attempt, self._planned = attempt, frozenset(steps)
        self._open: dict[str, Span] = {}

    def begin(self, name: str) -> None:
        """It begins now; once more, if it had begun before."""
        self._end(name, "begun anew")
        self._open[name] = self._attempt.begin(name)

    def end(self, name: str) -> None:
        """It has ended well, now."""
        self._end(name, None)

    def record_event(self, event: Event) -> None:
        """Take in one event of the child: a step is as long as the time between its two events."""
        match event:
            case StepStarted() if event.step in self._planned:
                self.begin(f"step {event.step}")
            case StepFinished() if event.step in self._planned:
                self.end(f"step {event.step}")

    def close(self, fault: str) -> None:
        """Nothing more comes; what has not ended did not end well."""
        for name in tuple(self._open):
            self._end(name, fault)

    def _end(self, name: str, fault: str | None) -> None:
        if (span := self._open.pop(name, None)) is not None:
            span.end(fault)
