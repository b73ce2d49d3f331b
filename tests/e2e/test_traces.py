"""One job as one trace, through every process of a real service, to a receiver of OpenTelemetry."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from client.api import Secateur
from client.views import Job
from stack.interrupts import Interrupts
from stack.machine import machine
from tests.backing import Backing
from tests.badfiles import good_keras, good_npz
from tests.otlp import Collector, Received, collecting
from tests.waiting import eventually
from tests.workers.test_webhooks import Receiver, receiver

__all__ = ["receiver"]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STEPS = [{"kind": "prune", "sparsity": 0.5}]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A receiver that every process of a stack is led to."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector


def traced_job(url: str, webhook: str, folder: Path) -> Job:
    """A job that somebody who traces has posted, at its end."""
    (folder / "m.keras").write_bytes(good_keras())
    (folder / "d.npz").write_bytes(good_npz())
    with Secateur(url) as service, httpx.Client(base_url=url) as http:
        model, dataset = service.upload_model(folder / "m.keras").id, service.upload_dataset(folder / "d.npz").id
        service.wait_ready("model", model)
        service.wait_ready("dataset", dataset)
        assert http.post("/v1/webhooks", json={"url": webhook, "subscriptions": ["job.succeeded"]}).status_code == 201
        spec = {"model_id": model, "dataset_id": dataset, "on_chance_baseline": "continue", "steps": STEPS}
        answer = http.post("/v1/jobs", json=spec, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
        return service.wait(answer.json()["id"])


def test_a_job_is_one_trace_from_its_caller_to_whom_it_is_told(
    collector: Collector, receiver: Receiver, backing: Backing, tmp_path: Path
) -> None:
    """What an operator sees who asks where the time of one job went."""
    settings = backing.settings(tmp_path / "var", host="127.0.0.1", port=0, webhook_targets="any")
    with machine(settings, Interrupts()) as running:
        job = traced_job(running.url, receiver.url, tmp_path)
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
