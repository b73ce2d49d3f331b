"""Health: alive is about this process, ready is about everything that a job needs."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from infra.db.database import Database, now
from infra.jobs import workers
from infra.storage.store import Store
from secateur.errors import Unavailable
from secateur.protocol.work import QUEUES
from service.middleware import authentication
from service.monitoring.readiness import Probe, Verdict
from tests.service.conftest import Running, Start, eventually
from tests.service.keys import as_, key

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

OK = dict.fromkeys(("database", "broker", "store", *(f"worker:{queue}" for queue in QUEUES)), "ok")


def see(gateway: Running, worker: str, queues: str, *, sandbox: str = "", seconds_ago: float = 0) -> None:
    seen_at = now() - timedelta(seconds=seconds_ago)
    with gateway.parts.database.write() as session:
        workers.record_heartbeat(session, worker, queues=queues, sandbox=sandbox, now=seen_at)


def test_with_everything_there_the_service_is_ready(fresh: Running) -> None:
    """And it tells how well strangers' models are confined, worker by worker."""
    see(fresh, "one", "checks", sandbox="landlock+seccomp")
    see(fresh, "two", "jobs", sandbox="off")

    answer = fresh.http.get("/health/ready")

    sandbox = {"one": "landlock+seccomp", "two": "off"}
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": OK, "sandbox": sandbox})


def test_strangers_learn_what_is_missing_and_not_why_or_where(fresh: Running) -> None:
    """Load balancers ask without a key. Names of hosts, and what is weak about them, are no business of everybody."""
    see(fresh, "gpu-host-7", "jobs", sandbox="off")
    admin, reader = as_(fresh, "ops", ["admin"]), as_(fresh, "team", ["read"])

    told = [http.get("/health/ready") for http in (admin, reader, fresh.http)]

    hidden = OK | {"worker:checks": "missing"}
    shown = OK | {"worker:checks": "No worker takes from this queue."}
    assert [answer.status_code for answer in told] == [503] * 3
    assert [answer.json()["checks"] for answer in told] == [shown, hidden, hidden]
    assert [answer.json()["sandbox"] for answer in told] == [{"gpu-host-7": "off"}, {}, {}]


def test_a_key_that_is_no_good_does_not_make_a_gateway_unhealthy(fresh: Running) -> None:
    """Somebody rotated it: that is no reason to take the gateway out of service."""
    see(fresh, "one", "checks,jobs")
    key(fresh, "ops", ["admin"])

    answer = fresh.http.get("/health/ready", headers={"Authorization": "Bearer sk_old"})

    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": OK, "sandbox": {}})


def test_where_too_many_ask_at_once_an_admin_is_told_what_strangers_are(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends keys that are none must not fill the threads and the database with looks for them."""
    monkeypatch.setattr(authentication, "MOST_LOOKS", 0)
    with start() as gateway:
        see(gateway, "gpu-host-7", "checks,jobs", sandbox="off")
        admin = as_(gateway, "ops", ["admin"])

        answer, others = admin.get("/health/ready"), admin.get("/v1/jobs")

    assert (answer.json()["sandbox"], others.status_code) == ({}, 200)


class Watched(Store):
    """A store that counts how often it is asked, and takes its time."""

    looks = 0

    def ping(self) -> None:
        self.looks += 1
        time.sleep(0.1)
        super().ping()


def test_however_many_ask_at_once_the_gateway_looks_once(fresh: Running) -> None:
    """Each look writes into the store, and everybody may ask."""
    see(fresh, "one", "checks,jobs")
    store = Watched.from_url(fresh.parts.settings.store)
    probe = Probe(fresh.parts.database, fresh.parts.publisher, store, alive_seconds=60)

    async def ask() -> list[Verdict]:
        first = await asyncio.gather(*(probe.verdict() for _ in range(100)))
        return [*first, await probe.verdict()]

    verdicts = asyncio.run(ask())

    assert isinstance(store, Watched)
    assert [found.is_ready for found in verdicts] == [True] * 101
    assert store.looks == 1


class Tired(Database):
    """Answers the first question of a look and no other."""

    @contextmanager
    def read(self) -> Iterator[Session]:
        raise Unavailable("The database does not answer.")

    def ping(self) -> None:
        return


def test_a_database_that_falls_silent_in_the_middle_of_a_look_is_named(fresh: Running) -> None:
    """The answer has the same shape then, and is remembered as long."""
    database = Tired(fresh.parts.settings.database)
    probe = Probe(database, fresh.parts.publisher, fresh.parts.store, alive_seconds=60)

    verdict = asyncio.run(probe.verdict())

    assert verdict.checks == dict.fromkeys(("broker", "store"), "ok") | {"database": "The database does not answer."}
    assert asyncio.run(probe.verdict()) is verdict
    database.close()


def test_what_comes_back_is_seen_soon(fresh: Running) -> None:
    assert fresh.http.get("/health/ready").status_code == 503
    see(fresh, "one", "checks,jobs")

    assert eventually(lambda: fresh.http.get("/health/ready").status_code == 200)


def test_a_queue_without_a_worker_is_named(fresh: Running) -> None:
    """Jobs would be accepted and never run."""
    see(fresh, "one", "checks")

    answer = fresh.http.get("/health/ready")

    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert {name for name, verdict in answer.json()["checks"].items() if verdict != "ok"} == {"worker:jobs"}


def test_a_worker_that_was_not_seen_lately_does_not_count(fresh: Running) -> None:
    see(fresh, "one", "checks,jobs", seconds_ago=3600)

    assert fresh.http.get("/health/ready").status_code == 503


def test_each_part_that_is_away_is_named_soon(start: Start) -> None:
    """Whoever reads this at night must not have to guess, and a load balancer does not wait long."""
    away = {"database_url": "postgresql://x@127.0.0.1:1/x", "broker_url": "redis://127.0.0.1:1/0"}
    with start(migrated=False, **away) as gateway:
        answer = gateway.http.get("/health/ready", timeout=20)
    checks = answer.json()["checks"]
    assert answer.status_code == 503
    assert (checks["store"], "ok" in (checks["database"], checks["broker"])) == ("ok", False)


def test_a_database_without_tables_is_not_ready(start: Start) -> None:
    """The migrations have not run: every request would fail."""
    with start(migrated=False) as gateway:
        answer = gateway.http.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] != "ok"


def test_a_live_gateway_says_so_whatever_else_is_away(start: Start) -> None:
    """Restarting it would not bring the others back."""
    with start(migrated=False, database_url="postgresql://x@127.0.0.1:1/x") as gateway:
        answer = gateway.http.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


def test_a_database_of_an_older_version_is_named_with_the_command_that_helps(fresh: Running) -> None:
    """The gateway was updated before the tables were."""
    see(fresh, "one", "checks,jobs")
    with fresh.parts.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0015'"))

    answer = fresh.http.get("/health/ready")

    assert answer.status_code == 503
    assert "run `python -m infra migrate`" in answer.json()["checks"]["database"]
