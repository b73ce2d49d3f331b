"""One job as one trace, through every process of a real service, to a receiver of OpenTelemetry."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from secateur.client.views import Job
from tests.e2e.conftest import Inputs, Service
from tests.otlp import Collector, Received
from tests.waiting import eventually
from tests.workers.webhooks.test_delivery import Receiver, receiver

__all__ = ["receiver"]

pytestmark = [pytest.mark.slow, pytest.mark.only("embedded", reason="no span depends on the database or the store")]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STEPS = [{"kind": "prune", "sparsity": 0.5}]


def traced_job(service: Service, inputs: Inputs) -> Job:
    """A job that a caller who traces has posted, at its end."""
    ids = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id}
    spec = ids | {"on_chance_baseline": "continue", "steps": STEPS}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = service.http.post("/v1/jobs", params={"force": "true"}, json=spec, headers=headers)
    return service.client.wait(answer.json()["id"])


@pytest.fixture
def subscribed(service: Service, receiver: Receiver) -> Iterator[None]:
    """The receiver is told of jobs that succeed."""
    webhook = service.http.post("/v1/webhooks", json={"url": receiver.url, "subscriptions": ["job.succeeded"]})
    assert webhook.status_code == 201
    yield
    assert service.http.delete(f"/v1/webhooks/{webhook.json()['id']}").status_code == 204


@pytest.mark.usefixtures("subscribed")
def test_a_job_is_one_trace_from_its_caller_to_whom_it_is_told(service: Service, inputs: Inputs) -> None:
    """What an operator sees who asks where the time of one job went."""
    collector = service.collector

    job = traced_job(service, inputs)
    arrived = eventually(lambda: bool(named(collector, "deliver job.succeeded")), within_seconds=60)

    assert job.state == "succeeded", job.failure
    assert arrived
    (request,), (attempt,), (delivery,) = (
        named(collector, name) for name in ("POST /v1/jobs", "attempt compress", "deliver job.succeeded")
    )
    inner = [span for span in collector.spans if span.parent_id == attempt.span_id]
    assert Counter(span.name for span in inner) == Counter(
        ["child", "fetch inputs", *(f"step {step.name}" for step in job.steps), "store files"]
    )
    assert (request.parent_id, attempt.parent_id, delivery.parent_id) == (CALLER, request.span_id, request.span_id)
    told = {span.service for span in inner} | {span.service for span in (attempt, delivery)}
    assert (request.service, told) == ("secateur-gateway", {"secateur-worker"})
    assert not any(span.is_failed for span in (request, attempt, delivery, *inner))
    assert all(attempt.began <= span.began <= span.ended <= attempt.ended for span in inner)
    in_turn = [span for span in sorted(inner, key=lambda span: span.began) if span.name.startswith(("step", "store"))]
    assert [span.name for span in in_turn] == [*(f"step {step.name}" for step in job.steps), "store files"]
    assert all(before.ended <= after.began for before, after in pairwise(in_turn))
    assert request.began <= attempt.began <= delivery.began
    assert delivery.attributes["secateur.status"] == "204"


def named(collector: Collector, name: str) -> list[Received]:
    return [span for span in collector.spans if span.name == name and span.trace_id == TRACE]
