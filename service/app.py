"""The gateway as an application: the one place that wires its parts together."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends
from fastapi.telemetry import TelemetryConfig
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.broker import Publisher, celery_app
from infra.db.database import Database
from infra.settings import Settings
from infra.storage.store import Store
from infra.telemetry.logs import logger
from infra.telemetry.trace_context import working_in_span
from infra.telemetry.traces import Traces
from service import documentation
from service.components import Components
from service.http import problems
from service.http.strict_query import refuse_unknown
from service.middleware.authentication import FOR_MONITORS, Authentication
from service.middleware.body_limit import BodyLimit
from service.middleware.early_answers import EarlyAnswers
from service.middleware.request_id import request_id_of
from service.monitoring.metrics import Requests
from service.openapi import Gateway
from service.routes import (
    artifacts,
    discovery,
    events,
    health,
    jobs,
    keys,
    limits,
    monitoring,
    resumable,
    retention,
    uploads,
    usage,
    webhooks,
)
from service.startup import prepare
from service.uploads.tus import TusHeader

DESCRIPTION = "Prune, fine-tune and quantise Keras models, with every number measured on the exported file."


def create_app(settings: Settings) -> Gateway:
    """A gateway that connects when it is first asked, not before."""
    parts = Components(
        settings,
        Database(settings.database, answer_seconds=settings.answer_seconds),
        Store.from_url(settings.store, answer_seconds=settings.answer_seconds),
        Publisher(celery_app(settings.broker)),
        traces=Traces.from_environment("secateur-gateway"),
    )

    @asynccontextmanager
    async def lifespan(app: Gateway) -> AsyncIterator[None]:
        await run_in_threadpool(prepare, app)
        yield
        parts.database.close()
        await run_in_threadpool(parts.traces.close)

    app = Gateway(
        title="Secateur",
        version=version("secateur"),
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry=_telemetry(parts.traces),
        dependencies=[Depends(refuse_unknown)],
        redirect_slashes=False,
        docs_url=None,  # served by documentation, without a foreign host
        redoc_url=None,
    )
    app.state.parts = parts
    first = (discovery, health, monitoring, uploads, resumable, jobs, events)
    for module in (*first, artifacts, retention, keys, limits, usage, webhooks):
        app.include_router(module.router)
    documentation.install(app)
    problems.install(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Authentication, parts=parts)
    app.add_middleware(TusHeader)
    app.add_middleware(RequestLog, requests=parts.requests, traces=parts.traces)
    app.add_middleware(EarlyAnswers)
    return app


def _telemetry(traces: Traces) -> TelemetryConfig:
    """One span for each request, by the framework; not for those that come every few seconds for ever."""
    return {
        "tracing": traces.provider is not None,
        "tracer_provider": traces.provider,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"] == FOR_MONITORS or scope["path"].startswith("/health/"),
    }


class RequestLog:
    """Gives each request an id, sends it back, and counts it and writes one line when the answer is out.

    What the request makes (jobs, lines of the log) belongs to its span.
    """

    def __init__(self, app: ASGIApp, requests: Requests, traces: Traces) -> None:
        self._app = app
        self._requests = requests
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with working_in_span(self._traces.current_traceparent()):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.perf_counter(), 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, tell)
        finally:
            seconds = time.perf_counter() - start
            self._requests.count(scope, status, seconds)
            milliseconds = round(seconds * 1000, 1)
            log = logger("gateway").debug if scope["path"].startswith("/health") else logger("gateway").info
            caller = scope["state"].get("caller")
            by = {} if caller is None or caller.key_id is None else {"key": caller.key_id}
            log(scope["method"], path=scope["path"], status=status, ms=milliseconds, request_id=request_id, **by)
