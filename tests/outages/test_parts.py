"""Database, broker and store go away while a job runs, and come back. Nobody starts the service again."""

from collections.abc import Iterator

import pytest

from tests.outages.parts import Surroundings
from tests.outages.service import Reader, Service, pause, serving

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service(around: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all outages, one after the other."""
    folder = tmp_path_factory.mktemp("outage")
    with serving(folder / "var", around.environment(), logs=folder / "logs") as service:
        service.is_whole()
        yield service


def test_a_database_that_was_away_is_used_again(around: Surroundings, service: Service) -> None:
    """The job ends while nobody can be told; it is told later, once, and who reads its events misses none."""
    job_id = service.begun()
    reader = Reader(service, job_id)

    with service.held_up():
        around.database.stop()
        answers = [service.ask("GET", f"/v1/jobs/{job_id}"), service.submit(), service.upload()]
        answers += [service.ask("GET", "/metrics"), service.ask("GET", f"/v1/jobs/{job_id}/events")]
        missing = service.missing()
        pause(2.0)
    service.lives()
    around.database.start()

    assert [answer.status_code for answer in answers] == [503] * 5
    assert missing == {"database"}
    service.succeeds(job_id)
    reader.join(timeout=30)
    assert reader.numbers == [event["number"] for event in service.events(job_id)]
    service.is_whole()


def test_a_broker_that_was_away_delays_nothing_that_runs(around: Surroundings, service: Service) -> None:
    """Jobs and uploads are taken all the same, and begin when it is back."""
    job_id = service.begun()

    with service.held_up():
        around.broker.stop()
        looked, submitted, uploaded = service.ask("GET", f"/v1/jobs/{job_id}"), service.submit(), service.upload()
        missing = service.missing()
    service.succeeds(job_id)
    service.lives()
    around.broker.start()

    assert [answer.status_code for answer in (looked, submitted, uploaded)] == [200, 202, 201]
    assert missing == {"broker"}
    service.becomes_ready(uploaded.json()["id"])
    service.is_whole(submitted)


def test_a_store_that_was_away_gets_the_files_later(around: Surroundings, service: Service) -> None:
    """The job is done and its files have nowhere to go: its worker keeps them until they have."""
    job_id = service.begun()

    with service.held_up():
        around.store.stop()
        looked, submitted, uploaded = service.ask("GET", f"/v1/jobs/{job_id}"), service.submit(), service.upload()
        downloaded = service.download()
        missing = service.missing()
    pause(2.0)
    service.lives()
    unfinished = service.job(job_id)["state"]
    around.store.start()

    assert [answer.status_code for answer in (looked, submitted, uploaded, downloaded)] == [200, 202, 503, 503]
    assert missing == {"store"}
    assert unfinished == "running"
    assert service.succeeds(job_id)["attempt"] == 1
    service.is_whole(submitted)
