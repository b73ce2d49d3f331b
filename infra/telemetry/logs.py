"""Structured logs on standard error: one line per event, for people (console) or for machines (json)."""

import logging
import sys
from typing import Literal

import structlog

from infra.telemetry import trace_context


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Set up structlog, and send the standard library's logging through it. Call it once, in the main of a process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        trace_context.add_to_log,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            # the default formatter prints every local variable: slow, and it would put secrets into logs
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that takes key-value pairs: ``logger("gateway").info("job accepted", job_id=...)``."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log
