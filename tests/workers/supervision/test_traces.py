"""A job's trace: from the request that made it, through every attempt, to the steps of its child."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from infra.db.database import now
from infra.db.tables import Delivery
from infra.jobs import lifecycle
from infra.telemetry import trace_context
from infra.telemetry.traces import Span, Traces
from infra.webhooks import webhooks
from service.app import create_app
from tests.otlp import Collector, Received, collecting
from tests.service.conftest import serving
from tests.workers.conftest import Bench
from tests.workers.webhooks.test_delivery import Receiver, finished, receiver, subscribed
from workers.webhooks.delivery import WebhookDelivery

__all__ = ["receiver"]

pytestmark = pytest.mark.only("embedded", reason="what processes say to each other is the same with every database")

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"
SERVER, OUTGOING, CONSUMER = 2, 3, 5


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A receiver that the environment leads to."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


def test_a_job_is_one_trace_from_its_request_to_its_last_attempt(bench: Bench, collector: Collector) -> None:
    """The first attempt dies. The second is in the same trace, although no message told anybody of it."""
    spec = {"kind": "compress", **bench.inputs(), "steps": [{"kind": "prune", "sparsity": 0.5}]}
    with serving(bench.settings) as gateway:
        answer = gateway.http.post("/v1/jobs", json=spec, headers={"traceparent": CLIENT})
        gateway.http.get("/health/live")
    job_id = answer.json()["id"]

    worker = bench.supervisor("crash_once")
    worker = replace(worker, context=replace(worker.context, traces=Traces.from_environment("secateur-worker")))
    for _ in range(2):
        worker.run(job_id)
    worker.context.traces.close()

    assert bench.job(job_id).state == "succeeded"
    assert {span.trace_id for span in collector.spans} == {TRACE}
    request = _only(collector, "secateur-gateway")
    assert (request.name, request.parent_id, request.kind) == ("POST /v1/jobs", CLIENT_SPAN, SERVER)
    first, second = sorted(_named(collector, "attempt compress"), key=lambda span: span.began)
    assert {first.parent_id, second.parent_id} == {request.span_id}
    assert (first.is_failed, second.is_failed) == (True, False)
    told = {"secateur.job": job_id, "secateur.kind": "compress", "secateur.attempt": "2"}
    assert second.attributes == told | {"secateur.ending": "succeeded"}
    assert second.kind == CONSUMER
    inner = [span for span in collector.spans if span.parent_id == second.span_id]
    assert Counter(span.name for span in inner) == Counter(_expected(bench.job(job_id).steps))
    assert all(second.began <= span.began <= span.ended <= second.ended for span in inner)
    assert {span.service for span in (first, second, *inner)} == {"secateur-worker"}


def test_each_try_to_tell_of_a_job_is_in_its_trace(bench: Bench, collector: Collector, receiver: Receiver) -> None:
    """Whoever asks why nobody was told sees when, which status came, and nothing of what a receiver said."""
    subscribed(bench, receiver)
    receiver.answers = [500]
    with trace_context.working_in_span(CLIENT):
        job_id = finished(bench)
    traces = Traces.from_environment("secateur-worker")
    deliverer = WebhookDelivery(bench.database, "any", traces=traces)

    assert deliverer.deliver()
    with bench.database.write() as session:
        session.execute(update(Delivery).values(due_at=now()))
    assert deliverer.deliver()
    traces.close()

    first, second = sorted(collector.spans, key=lambda span: span.began)
    assert {(span.name, span.trace_id, span.parent_id, span.kind) for span in (first, second)} == {
        ("deliver job.succeeded", TRACE, CLIENT_SPAN, OUTGOING)
    }
    told = [[span.attributes[f"secateur.{name}"] for name in ("status", "tries_before")] for span in (first, second)]
    assert told == [["500", "0"], ["204", "1"]]
    assert (first.is_failed, second.is_failed) == (True, False)
    assert bench.job(job_id).traceparent == CLIENT
    assert receiver.url not in str(collector.spans)


def test_a_job_that_another_trace_ends_is_told_of_in_its_own(bench: Bench, receiver: Receiver) -> None:
    """Cancelling is a request of its own, perhaps of somebody else."""
    with bench.database.write() as session:
        webhooks.create(
            session, owner="local", url=receiver.url, subscriptions=["job.cancelled"], description="", now=now()
        )
    with trace_context.working_in_span(CLIENT):
        job_id = bench.compress()

    with trace_context.working_in_span(OTHER), bench.database.write() as session:
        lifecycle.cancel(session, job_id)

    with bench.database.read() as session:
        assert session.scalars(select(Delivery.traceparent)).all() == [CLIENT]


def _expected(steps: list[dict[str, Any]]) -> list[str]:
    told = [f"step {step['name']}" for step in steps if step["state"] == "succeeded"]
    assert told
    return ["child", "fetch inputs", *told, "store files"]


def test_who_does_not_ask_is_not_traced(bench: Bench) -> None:
    """Also when a client sends a trace: nobody would ever see it."""
    spec = {"kind": "compress", **bench.inputs(), "steps": [{"kind": "prune", "sparsity": 0.5}]}
    with serving(bench.settings) as gateway:
        answer = gateway.http.post("/v1/jobs", json=spec, headers={"traceparent": CLIENT})

    assert bench.job(answer.json()["id"]).traceparent is None
    assert Traces().begin("attempt", parent=CLIENT).traceparent is None


def test_a_receiver_that_is_away_costs_nobody_anything(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are accepted and run; only their spans are lost."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    app = create_app(bench.settings)
    span = app.state.parts.traces.begin("attempt", parent=None)
    span.end()

    app.state.parts.traces.close()

    assert span.traceparent is not None


def test_lines_of_the_log_say_which_trace_they_belong_to() -> None:
    """So that one leads to the other."""
    with trace_context.working_in_span(CLIENT):
        line = trace_context.add_to_log(None, "info", {"event": "job taken"})

    assert line == {"event": "job taken", "trace_id": TRACE, "span_id": CLIENT_SPAN}
    assert trace_context.add_to_log(None, "info", {"event": "job taken"}) == {"event": "job taken"}


def test_a_span_of_nobody_takes_everything_and_is_nothing() -> None:
    """Code that is traced need not ask whether it is."""
    span = Span()

    with span.within("fetch inputs"):
        inner = span.begin("step prune", step="prune")
    inner.note(ending="succeeded")
    inner.end("not finished")

    assert inner.traceparent is None


def _only(collector: Collector, service: str) -> Received:
    found = [span for span in collector.spans if span.service == service]
    assert len(found) == 1, found
    return found[0]


def _named(collector: Collector, name: str) -> list[Received]:
    return [span for span in collector.spans if span.name == name]
