"""Database, broker and store hang while a job runs: they refuse nothing and answer nothing. Then they move again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import httpx
import pytest

from stack.broker import broker_url
from tests.outages.parts import Surroundings
from tests.outages.service import Reader, Service, pause, serving
from tests.wire import Wire, wire

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

ANSWER_SECONDS: Final = 3.0
BOUND_SECONDS: Final = 30.0
"""Many times what an answer needs here, and much less than for ever."""
TOKEN: Final = "monitors-know-this-one"
CROWD: Final = 60
"""More than a gateway has threads."""


@dataclass(frozen=True)
class Wired:
    """What a service stands on, and the wires to it."""

    around: Surroundings
    broker: Wire
    store: Wire


@pytest.fixture(scope="module")
def wired(around: Surroundings) -> Iterator[Wired]:
    plug = around.broker.folder / "broker.sock"
    with wire(plug, plug.with_name("wire.sock")) as broker, wire(("127.0.0.1", around.store.port)) as store:
        yield Wired(around, broker, store)


@pytest.fixture(scope="module")
def service(wired: Wired, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all that hangs, one after the other."""
    folder = tmp_path_factory.mktemp("hanging")
    environment = wired.around.environment() | {
        "SECATEUR_BROKER_URL": broker_url(wired.around.broker.folder / "wire.sock"),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{wired.store.port}",
        "SECATEUR_ANSWER_SECONDS": str(ANSWER_SECONDS),
        "SECATEUR_METRICS_TOKEN": TOKEN,
    }
    with serving(folder / "var", environment, logs=folder / "logs") as service:
        service.is_whole()
        service.http.timeout = httpx.Timeout(BOUND_SECONDS)
        yield service


class Pulse(threading.Thread):
    """Asks whether the gateway lives, again and again, and does not wait long."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._url = f"{service.http.base_url}/health/live"
        self._ended = threading.Event()
        self._answers: list[int] = []
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self._answers.append(self._look())

    def _look(self) -> int:
        try:
            return httpx.get(self._url, timeout=10).status_code
        except httpx.HTTPError:
            return 0

    def never_stopped(self) -> bool:
        """Whether it was answered each time."""
        self._ended.set()
        self.join()
        return len(self._answers) > 0 and set(self._answers) == {200}


def test_a_database_that_hangs_keeps_nobody_for_long(wired: Wired, service: Service) -> None:
    """Sixty requests wait for it at once; the job ends meanwhile, and is told later, once."""
    job_id = service.begun()
    reader, pulse = Reader(service, job_id), Pulse(service)

    with service.held_up(), ThreadPoolExecutor(CROWD) as threads, wired.around.database.held():
        crowd = [threads.submit(service.ask, "GET", f"/v1/jobs/{job_id}") for _ in range(CROWD)]
        answers = [service.submit(), service.upload(), *(each.result() for each in crowd)]
        missing = service.missing()
        metrics = service.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
        pause(1.0)
    assert pulse.never_stopped()

    assert {answer.status_code for answer in answers} == {503}
    assert missing == {"database"}
    assert "secateur_database_up 0.0" in metrics
    service.answers_again(f"/v1/jobs/{job_id}")
    assert service.succeeds(job_id)["attempt"] == 1
    reader.join(timeout=30)
    assert reader.numbers == [event["number"] for event in service.events(job_id)]


def test_a_store_that_hangs_gets_the_files_later(wired: Wired, service: Service) -> None:
    """The job is done and its files have nowhere to go. Reading and asking for jobs goes on."""
    job_id = service.begun()
    pulse = Pulse(service)

    with wired.store.held():
        with service.held_up():
            looked, submitted = service.ask("GET", f"/v1/jobs/{job_id}"), service.submit()
            with ThreadPoolExecutor(CROWD) as threads:
                crowd = [threads.submit(service.download) for _ in range(CROWD)]
                away = [service.upload(), *(each.result() for each in crowd)]
            missing = service.missing()
        pause(2.0)
        unfinished = service.job(job_id)["state"]
    assert pulse.never_stopped()

    assert [looked.status_code, submitted.status_code] == [200, 202]
    assert {answer.status_code for answer in away} == {503}
    assert missing == {"store"}
    assert unfinished == "running"
    assert service.succeeds(job_id)["attempt"] == 1
    service.succeeds(submitted.json()["id"])


def test_a_job_that_waits_for_a_silent_store_can_be_cancelled(wired: Wired, service: Service) -> None:
    """It gives its slot back, though the call that it waits in cannot be stopped: the next test has a job in it."""
    job_id = service.begun()

    with wired.store.held():
        with service.held_up():
            assert service.missing() == {"store"}
        service.ask("POST", f"/v1/jobs/{job_id}/cancel").raise_for_status()
        service.until(lambda: service.job(job_id)["state"] == "cancelled")


def test_a_broker_that_hangs_delays_nothing_that_runs(wired: Wired, service: Service) -> None:
    """Jobs and uploads are taken all the same, and begin when it moves again."""
    job_id = service.begun()
    pulse = Pulse(service)

    with wired.broker.held():
        with service.held_up():
            looked, submitted, uploaded = service.ask("GET", f"/v1/jobs/{job_id}"), service.submit(), service.upload()
            missing = service.missing()
        service.succeeds(job_id)
    assert pulse.never_stopped()

    assert [answer.status_code for answer in (looked, submitted, uploaded)] == [200, 202, 201]
    assert missing == {"broker"}
    service.becomes_ready(uploaded.json()["id"])
    service.is_whole(submitted)
