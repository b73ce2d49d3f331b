"""The courier: a process that delivers webhooks where workers have no way out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.db.database import now
from infra.db.tables import Delivery
from infra.jobs import workers
from infra.webhooks import outbox, webhooks
from tests.workers.conftest import Bench, eventually
from tests.workers.webhooks.test_delivery import Receiver, receiver

__all__ = ["receiver"]

pytestmark = pytest.mark.only("embedded", reason="what processes say to each other is the same with every database")


@contextmanager
def running(bench: Bench, module: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours on this bench, without any broker."""
    own = bench.settings.environment() | {"SECATEUR_WEBHOOK_TARGETS": "any"}
    own |= {"SECATEUR_SWEEP_SECONDS": "0.2", "SECATEUR_SCRATCH_DIR": str(bench.scratch)}
    process = subprocess.Popen([sys.executable, "-m", module], env=os.environ | own | settings)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        (bench.scratch / ".lock").unlink(missing_ok=True)


def notice(bench: Bench, url: str) -> str:
    """Queue a ping. Returns the delivery's id."""
    with bench.database.write() as session:
        webhook = webhooks.create(
            session, owner="local", url=url, subscriptions=("job.succeeded",), description="", now=now()
        )
        return outbox.queue(session, webhook, "ping", {}, now=now()).id


def state(bench: Bench, delivery_id: str) -> str:
    with bench.database.read() as session:
        return session.get_one(Delivery, delivery_id).state


def alive(bench: Bench) -> list[str]:
    with bench.database.read() as session:
        return [row.queues for row in workers.alive(session, within_seconds=60)]


def test_a_courier_delivers_without_a_broker_and_without_the_engine(bench: Bench, receiver: Receiver) -> None:
    """It stands where the internet is: the less it holds the better."""
    delivery_id = notice(bench, receiver.url)

    with running(bench, "workers.webhooks") as process:
        assert eventually(lambda: state(bench, delivery_id) == "delivered", within_seconds=30)
        assert alive(bench) == [""]
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        assert process.wait(timeout=20) == 0

    assert [headers["webhook-id"] for headers, _ in receiver.came] == [delivery_id]
    assert alive(bench) == []
    assert not any(name in mapped for name in ("tensorflow", "numpy", "h5py"))


@pytest.mark.parametrize("delivers", ["true", "false"])
def test_a_worker_delivers_unless_it_is_told_not_to(
    bench: Bench, broker: str, receiver: Receiver, delivers: str
) -> None:
    """One that reaches nobody would use up the tries."""
    delivery_id = notice(bench, receiver.url)
    options = {"SECATEUR_BROKER_URL": broker, "SECATEUR_WARM_CHILDREN": "false", "SECATEUR_SANDBOX": "off"}

    with running(bench, "workers", **options, SECATEUR_DELIVER_WEBHOOKS=delivers) as process:
        assert eventually(lambda: alive(bench) != [], within_seconds=30)
        came = eventually(lambda: bool(receiver.came), within_seconds=30 if delivers == "true" else 2)
        process.terminate()
        process.wait(timeout=20)

    assert came == (delivers == "true")
    assert (state(bench, delivery_id) == "delivered") == came
