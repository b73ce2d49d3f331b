"""What the child's own code logs, sent up the pipe as events. Other libraries' lines go to its standard error alone."""

import logging
from collections.abc import Callable

from secateur.protocol.events import Level
from secateur.protocol.progress import LogLine

OURS = ("engine", "screening", "workers")


class ForwardingHandler(logging.Handler):
    """Sends lines of INFO and more to the parent."""

    def __init__(self, emit: Callable[[LogLine], None]) -> None:
        super().__init__(logging.INFO)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line; one that cannot be sent is dropped, as logging does."""
        try:
            self._emit(LogLine(level=level_of(record.levelno), logger=record.name, message=self.format(record)))
        except Exception:  # noqa: BLE001 - a line of the log must not fail the job that it tells of
            self.handleError(record)


def level_of(number: int) -> Level:
    """A level of the standard library as one of ours.

    >>> level_of(logging.CRITICAL), level_of(logging.INFO)
    ('error', 'info')
    """
    return "error" if number >= logging.ERROR else "warning" if number >= logging.WARNING else "info"


def forward_logs(emit: Callable[[LogLine], None]) -> None:
    """Let every logger of our packages speak to the parent from now on."""
    handler = ForwardingHandler(emit)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
