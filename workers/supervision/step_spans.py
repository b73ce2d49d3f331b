"""The steps of an attempt as spans of the job's trace. The worker records them, because a child has no network."""

from collections.abc import Collection

from infra.telemetry.traces import Span
from secateur.protocol.progress import Event, StepFinished, StepStarted


class StepSpans:
    """The open spans of one attempt. Called by one thread."""

    def __init__(self, attempt: Span, steps: Collection[str]) -> None:
        """Begin without open spans.

        Args:
            attempt: the span of the attempt.
            steps: the names of the planned steps. Events of other steps are ignored.
        """
        self._attempt, self._planned = attempt, frozenset(steps)
        self._open: dict[str, Span] = {}

    def begin(self, name: str) -> None:
        """Begin a span now. An open span with this name ends first."""
        self._end(name, "begun again")
        self._open[name] = self._attempt.begin(name)

    def end(self, name: str) -> None:
        """End a span now, without a fault."""
        self._end(name, None)

    def record_event(self, event: Event) -> None:
        """Begin or end the span of a step, by an event of the child."""
        match event:
            case StepStarted() if event.step in self._planned:
                self.begin(f"step {event.step}")
            case StepFinished() if event.step in self._planned:
                self.end(f"step {event.step}")

    def close(self, fault: str) -> None:
        """End all open spans with this fault."""
        for name in tuple(self._open):
            self._end(name, fault)

    def _end(self, name: str, fault: str | None) -> None:
        if (span := self._open.pop(name, None)) is not None:
            span.end(fault)
