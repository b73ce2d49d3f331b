"""The span that this thread or task works in, as W3C's ``traceparent`` (www.w3.org/TR/trace-context).

A job's row keeps the ``traceparent`` of the request that created it. So every process that works on the job continues
the same trace, however late and after any crash.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

MAX_CHARACTERS: Final = 55
_CURRENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """Return the ``traceparent`` of the current span; None if nothing is traced."""
    return _CURRENT.get()


@contextmanager
def working_in_span(traceparent: str | None) -> Iterator[None]:
    """Make this span the current one while the block runs."""
    token = _CURRENT.set(traceparent)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def add_to_log(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the current trace and span to a log line. A processor of structlog.

    >>> with working_in_span("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
    ...     add_to_log(None, "info", {"event": "job taken"})["trace_id"]
    '0af7651916cd43dd8448eb211c80319c'
    """
    traceparent = current()
    if traceparent is not None:
        _, line["trace_id"], line["span_id"], _ = traceparent.split("-")
    return line
