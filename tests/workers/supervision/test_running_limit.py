"""No more jobs of one owner than allowed run at once, and the next one is woken by the end of one before."""

from dataclasses import replace

import pytest

from infra.broker import Publisher, celery_app, connect
from tests.workers.conftest import Bench
from workers.supervision.claims import Claims
from workers.supervision.supervisor import Supervisor


@pytest.fixture
def limited(bench: Bench, broker: str) -> Supervisor:
    """A worker that may run one job of an owner, with a real broker."""
    settings = bench.settings.model_copy(update={"quota_running_jobs": 1, "broker_url": broker})
    publisher = Publisher(celery_app(broker))
    claims = Claims(bench.database, settings)
    return replace(bench.supervisor("succeed"), publisher=publisher, settings=settings, claims=claims)


def messages(url: str) -> int:
    with connect(url) as client:
        return int(client.llen("secateur:jobs"))


def test_a_job_beyond_the_limit_waits_and_is_sent_when_the_one_before_ends(
    bench: Bench, limited: Supervisor, broker: str
) -> None:
    inputs, steps = bench.inputs(), [{"kind": "prune", "sparsity": 0.5}]
    first, second = bench.submit(inputs, steps=steps), bench.submit(inputs, steps=steps)
    thread = bench.start("hang", first)

    limited.run(second)
    assert bench.job(second).state == "queued"
    assert messages(broker) == 0
    bench.draining.set()
    thread.join()
    bench.draining.clear()
    limited.run(first)

    assert bench.job(first).state == "succeeded"
    assert messages(broker) == 1
    limited.run(second)
    assert bench.job(second).state == "succeeded"
