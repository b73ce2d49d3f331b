"""The stretches of an attempt as spans of its job's trace, made by the worker: the child itself reaches no network."""

from infra.traces import Span
from jobspec.progress import Event, StepFinished, StepStarted


class StepSpans:
    """What is under way in one attempt. Called by one thread."""

    def __init__(self, attempt: Span) -> None:
        self._attempt = attempt
        self._open: dict[str, Span] = {}

    def begin(self, name: str) -> None:
        """It begins now; once more, if it had begun before."""
        self._end(name, "begun anew")
        self._open[name] = self._attempt.begin(name)

    def end(self, name: str) -> None:
        """It has ended well, now."""
        self._end(name, None)

    def tell(self, event: Event) -> None:
        """Take in one event of the child: a step is as long as the time between its two events."""
        match event:
            case StepStarted():
                self.begin(f"step {event.step}")
            case StepFinished():
                self.end(f"step {event.step}")

    def close(self, fault: str) -> None:
        """Nothing more comes; what has not ended did not end well."""
        for name in tuple(self._open):
            self._end(name, fault)

    def _end(self, name: str, fault: str | None) -> None:
        if (span := self._open.pop(name, None)) is not None:
            span.end(fault)
