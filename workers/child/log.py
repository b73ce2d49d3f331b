"""Forwards log lines of our packages to the supervisor as events. Lines of other libraries stay in the child's log."""

import logging
from collections.abc import Callable

from secateur.protocol.events import Level
from secateur.protocol.progress import LogLine

PACKAGES = ("engine", "screening", "workers")


class ForwardingHandler(logging.Handler):
    """Sends log lines of level INFO and above to the parent."""

    def __init__(self, emit: Callable[[LogLine], None]) -> None:
        super().__init__(logging.INFO)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line. A line that cannot be sent is dropped, as in the standard library."""
        try:
            self._emit(LogLine(level=level_of(record.levelno), logger=record.name, message=self.format(record)))
        except Exception:  # noqa: BLE001 - a log line must not make the job fail
            self.handleError(record)


def level_of(number: int) -> Level:
    """Return the level of an event for a level of the standard library.

    >>> level_of(logging.CRITICAL), level_of(logging.INFO)
    ('error', 'info')
    """
    return "error" if number >= logging.ERROR else "warning" if number >= logging.WARNING else "info"


def forward_logs(emit: Callable[[LogLine], None]) -> None:
    """Send the lines of our packages' loggers to the parent from now on."""
    handler = ForwardingHandler(emit)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
