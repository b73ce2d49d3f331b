"""A disk that is full and a database that is locked, while a job runs; and then no longer. All on one machine."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.outages.disk import Disk
from tests.outages.service import Service, pause, serving

LOCKED_SECONDS = 3.0
"""Beyond the ten that a writer waits."""


pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service(
    disks: tuple[Disk, Disk], on_disks: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    logs = tmp_path_factory.mktemp("outage") / "logs"
    with serving(disks[0].folder / "var", on_disks, logs=logs) as service:
        service.is_whole()
        yield service


def test_a_full_disk_takes_nothing_and_then_goes_on(service: Service, disks: tuple[Disk, Disk]) -> None:
    """Database, store and broker are on it. What is there can be read; the job's work is kept until there is room."""
    kept, _ = disks
    job_id = service.begun()

    with kept.full():
        with service.held_up():
            answers = [service.ask("GET", f"/v1/jobs/{job_id}"), service.submit(), service.upload()]
            answers.append(service.download())
            missing = service.missing()
        pause(2.0)
        service.lives()
        unfinished = service.job(job_id)["state"]

    assert [answer.status_code for answer in answers] == [200, 507, 507, 200]
    assert "store" in missing
    assert unfinished == "running"
    assert service.succeeds(job_id)["attempt"] == 1
    service.is_whole()


def test_a_locked_database_is_waited_for(service: Service, disks: tuple[Disk, Disk]) -> None:
    """Somebody's backup, say. Readers go on; who wants to write is asked to come again; the job ends when it may."""
    kept, _ = disks
    job_id = service.begun()

    with closing(sqlite3.connect(kept.folder / "var" / "secateur.db")) as other, ThreadPoolExecutor() as threads:
        with service.held_up():
            other.execute("BEGIN EXCLUSIVE")
            submitted, uploaded = threads.submit(service.submit), threads.submit(service.upload)
            looked = service.ask("GET", f"/v1/jobs/{job_id}")
            answers = [looked, submitted.result(), uploaded.result()]
        pause(LOCKED_SECONDS)
        service.lives()
        other.rollback()

    assert [answer.status_code for answer in answers] == [200, 503, 503]
    service.succeeds(job_id)
    service.is_whole()
