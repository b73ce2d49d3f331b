"""Which span of a trace this thread or task works for, as W3C writes it (``traceparent``, www.w3.org/TR/trace-context).

A job's row keeps the one of the request that made it, so that whatever works on the job, however late and after
whichever crash, goes on in the same trace.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

MAX_CHARACTERS: Final = 55
_CURRENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The ``traceparent`` to go on from; None where nothing is traced."""
    return _CURRENT.get()


@contextmanager
def working_in_span(traceparent: str | None) -> Iterator[None]:
    """Work for this span while the block runs."""
    token = _CURRENT.set(traceparent)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def add_to_log(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A step of structlog: say which trace a line belongs to.

    >>> with working_in_span("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
    ...     add_to_log(None, "info", {"event": "job taken"})["trace_id"]
    '0af7651916cd43dd8448eb211c80319c'
    """
    traceparent = current()
    if traceparent is not None:
        _, line["trace_id"], line["span_id"], _ = traceparent.split("-")
    return line
