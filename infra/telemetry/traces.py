"""Traces, if the variables of OpenTelemetry ask for them. Otherwise the SDK is not imported and traces cost nothing.

Spans are sent over OTLP/HTTP in the background. If the receiver is slow or unavailable, spans are lost; work continues.
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
"""How long a process waits at its end until its last spans are sent."""

Value = str | int | float | bool
Role = Literal["internal", "consumer", "client"]


def are_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names a receiver and does not switch traces off.

    >>> are_wanted({}), are_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    (False, True)
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in ENDPOINTS)


class Span:
    """A span of a trace. Without a provider it does nothing, and neither do the spans that begin in it."""

    def __init__(self, provider: "TracerProvider | None" = None, span: "OtelSpan | None" = None) -> None:
        self._provider = provider
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """The ``traceparent`` of this span, for other threads and processes that continue from it."""
        if self._span is None:
            return None
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def begin(self, name: str, **attributes: Value) -> "Span":
        """Begin a child span now, and return it."""
        if self._provider is None:
            return self
        return _begun(self._provider, name, self.traceparent, "internal", attributes)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Run the block in a child span, which records the exception that the block raises."""
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
        """Set attributes of the span."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))

    def end(self, fault: str | None = None) -> None:
        """End the span now. ``fault`` says what went wrong; None: nothing."""
        if self._span is None:
            return
        if fault is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, fault))
        self._span.end()


class Traces:
    """Begins the spans of a process. Without a provider they are not recorded."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self.provider = provider

    @classmethod
    def from_environment(cls, service_name: str) -> "Traces":
        """Return traces as the variables of OpenTelemetry ask for. Missing packages are logged as a warning."""
        if not are_wanted(os.environ):
            return cls()
        try:
            return cls(_provider(service_name))
        except ImportError as fault:
            hint = "pip install 'secateur[tracing]'"
            logger("traces").warning("tracing is requested, but packages are missing", fault=str(fault), hint=hint)
            return cls()

    def begin(self, name: str, *, parent: str | None, role: Role = "internal", **attributes: Value) -> Span:
        """Begin a span now, and return it.

        Args:
            name: of the span.
            parent: the ``traceparent`` of the parent span; None: the span begins a new trace.
            role: the kind of the span.
            attributes: of the span, without the prefix ``secateur.``.
        """
        return Span() if self.provider is None else _begun(self.provider, name, parent, role, attributes)

    def current_traceparent(self) -> str | None:
        """Return the ``traceparent`` of the span that the framework has begun around this code."""
        if self.provider is None:
            return None
        from opentelemetry.trace import get_current_span

        span = get_current_span()
        return Span(self.provider, span).traceparent if span.get_span_context().is_valid else None

    def close(self) -> None:
        """Send the remaining spans.

        Wait ``CLOSE_SECONDS`` at most, so that the process ends without the receiver too.
        """
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
    """Return the attributes with the prefix ``secateur.``."""
    return {f"secateur.{name}": value for name, value in attributes.items()}
