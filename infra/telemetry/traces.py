"""Traces for whoever asks for them with the variables of OpenTelemetry. Who does not pays nothing: no SDK is imported.

Spans go out over OTLP/HTTP, in the background; a receiver that is slow or away costs spans, never work.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from infra.telemetry.logs import logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CLOSE_SECONDS: Final = 2.0
"""How long a process that ends waits for its last spans to go out."""

Value = str | int | float | bool
Role = Literal["internal", "consumer", "client"]


def are_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a receiver, and nothing that switches traces off.

    >>> are_wanted({}), are_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    (False, True)
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in ENDPOINTS)


class Span:
    """A stretch of time in a trace. One without a provider is nothing, and so is all that begins in it."""

    def __init__(self, provider: "TracerProvider | None" = None, span: "OtelSpan | None" = None) -> None:
        self._provider = provider
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """For whoever goes on from here, in another thread, process or year."""
        if self._span is None:
            return None
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def begin(self, name: str, **attributes: Value) -> "Span":
        """A span in this one, from now on."""
        if self._provider is None:
            return self
        return _begun(self._provider, name, self.traceparent, "internal", attributes)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """A span in this one, while the block runs."""
        inner, fault = self.begin(name), None
        try:
            yield
        except BaseException as raised:
            fault = type(raised).__name__
            raise
        finally:
            if inner is not self:
                inner.end(fault)

    def note(self, **attributes: Value) -> None:
        """Say more of it."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))

    def end(self, fault: str | None = None) -> None:
        """It ends now; ``fault`` says what went wrong."""
        if self._span is None:
            return
        if fault is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, fault))
        self._span.end()


class Traces:
    """Where the spans of a process go; without a provider, nowhere."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self.provider = provider

    @classmethod
    def from_environment(cls, service_name: str) -> "Traces":
        """As the variables of OpenTelemetry say. Packages that are missing are a warning: work is worth more."""
        if not are_wanted(os.environ):
            return cls()
        try:
            return cls(_provider(service_name))
        except ImportError as fault:
            hint = "pip install 'secateur[tracing]'"
            logger("traces").warning("traces are asked for, and packages are missing", fault=str(fault), hint=hint)
            return cls()

    def begin(self, name: str, *, parent: str | None, role: Role = "internal", **attributes: Value) -> Span:
        """A span from now on, in the trace of ``parent`` (a ``traceparent``), or the first of a trace."""
        return Span() if self.provider is None else _begun(self.provider, name, parent, role, attributes)

    def current_traceparent(self) -> str | None:
        """The ``traceparent`` of the span that the framework has begun around this code."""
        if self.provider is None:
            return None
        from opentelemetry.trace import get_current_span

        span = get_current_span()
        return Span(self.provider, span).traceparent if span.get_span_context().is_valid else None

    def close(self) -> None:
        """Send what waits, but not for long: a receiver that is away must not hold up the end of a process."""
        if self.provider is not None:
            last = threading.Thread(target=self.provider.shutdown, daemon=True)
            last.start()
            last.join(CLOSE_SECONDS)


def _provider(service_name: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if is_named else {"service.name": service_name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _begun(
    provider: "TracerProvider", name: str, parent: str | None, role: Role, attributes: Mapping[str, Value]
) -> Span:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})
    kind = {"internal": SpanKind.INTERNAL, "consumer": SpanKind.CONSUMER, "client": SpanKind.CLIENT}[role]
    tracer = provider.get_tracer("secateur")
    return Span(provider, tracer.start_span(name, context, kind=kind, attributes=_named(attributes)))


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes under a name space of our own."""
    return {f"secateur.{name}": value for name, value in attributes.items()}
