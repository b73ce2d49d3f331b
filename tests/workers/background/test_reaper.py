"""The sweep against a real broker: no message stays lost, and none is sent without need."""

from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from infra.broker import Publisher, celery_app, connect
from infra.db.database import Database, now
from infra.db.tables import Job
from infra.jobs import lifecycle, workers
from secateur.errors import Unavailable
from tests.workers.conftest import Bench
from workers.background.reaper import RESEND_SECONDS, Reaper, reaping


def sweep_of(bench: Bench, url: str) -> Reaper:
    return Reaper(bench.database, Publisher(celery_app(url)), bench.settings, ["jobs", "checks"])


def grow_old(bench: Bench) -> None:
    """Let more time pass for every message than one should take."""
    with bench.database.write() as session:
        session.execute(update(Job).values(published_at=now() - timedelta(seconds=RESEND_SECONDS + 1)))


def queued_checks(url: str) -> int:
    with connect(url) as client:
        return int(client.llen("secateur:checks"))


def test_a_job_whose_message_was_never_sent_is_sent_once(bench: Bench, broker: str) -> None:
    """The gateway may die between the row and the message."""
    bench.upload("model", b"model")

    assert sweep_of(bench, broker).tick() == 1
    assert sweep_of(bench, broker).tick() == 0
    assert queued_checks(broker) == 1


def test_an_old_message_that_is_gone_is_sent_again(bench: Bench, broker: str) -> None:
    """A broker can lose everything it holds."""
    bench.upload("model", b"model")
    sweep_of(bench, broker).tick()
    grow_old(bench)
    with connect(broker) as client:
        client.flushall()

    assert sweep_of(bench, broker).tick() == 1
    assert queued_checks(broker) == 1


def test_an_old_message_that_still_waits_is_not_sent_again(bench: Bench, broker: str) -> None:
    """Otherwise a long queue would grow by its own length at every sweep."""
    bench.upload("model", b"model")
    sweep_of(bench, broker).tick()
    grow_old(bench)

    assert sweep_of(bench, broker).tick() == 0
    assert queued_checks(broker) == 1


def test_a_broker_that_is_away_loses_nothing(bench: Bench) -> None:
    """The next sweep goes on where this one could not."""
    _, check_id = bench.upload("model", b"model")

    with pytest.raises(Unavailable):
        sweep_of(bench, bench.settings.broker).tick()

    assert bench.job(check_id).published_at is None


def test_a_sweeping_worker_is_known_to_live_until_it_says_goodbye(bench: Bench, broker: str) -> None:
    """Readiness tells a user that somebody will take the job."""
    sweep = sweep_of(bench, broker)
    sweep.tick()

    with reaping(sweep, every_seconds=60), bench.database.read() as session:
        queues = [worker.queues for worker in workers.alive(session, within_seconds=60, now=now())]
    with bench.database.read() as session:
        after = workers.alive(session, within_seconds=60, now=now())

    assert queues == ["jobs,checks"]
    assert after == []


class Leaving(Database):
    """A database that is away whenever a test says so."""

    away = False

    def write(self) -> AbstractContextManager[Session]:
        if self.away:
            raise Unavailable("The database does not answer.")
        return super().write()


def test_who_could_not_speak_is_not_given_up(bench: Bench, broker: str) -> None:
    """When the database comes back after longer than a lease, every lease has run out, and every worker still works."""
    job_id, time = bench.compress(), 0.0
    with bench.database.write() as session:
        lifecycle.claim(session, job_id, lease_seconds=-1.0)
    database = Leaving(bench.settings.database)
    publisher = Publisher(celery_app(broker))
    sweep = Reaper(database, publisher, bench.settings, ["jobs"], clock=lambda: time)

    database.away = True
    with pytest.raises(Unavailable):
        sweep.tick()
    database.away = False
    sweep.tick()
    spared = bench.job(job_id).state
    time = bench.settings.lease_seconds
    sweep.tick()
    database.close()

    assert (spared, bench.job(job_id).state) == ("running", "queued")
