"""A receiver of traces, as a collector is one: OTLP over HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FAILED = 2


@dataclass(frozen=True)
class Received:
    """One span as it came over the wire."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began: int
    ended: int
    is_failed: bool
    attributes: dict[str, str]


@dataclass
class Collector:
    """Where it listens, and what has come."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _texts(resource.resource.attributes)["service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.spans.append(
                    Received(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.kind,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code == FAILED,
                        _texts(span.attributes),
                    )
                )


def _texts(attributes: Iterator) -> dict[str, str]:  # type: ignore[type-arg]
    """Values in the words of Python, whatever their type on the wire."""
    values = ((each.key, each.value) for each in attributes)
    return {key: str(getattr(value, value.WhichOneof("value"))) for key, value in values}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver on loopback, until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """A test's output is not the place."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()
