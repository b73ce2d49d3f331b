"""Disks that are full and a database that is locked, while a job runs; and then no longer. All on one machine."""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from jobspec.states import FINAL
from tests.outages.disk import Disk, NoDisk, small_disk
from tests.outages.parts import Broker
from tests.outages.service import Service, pause, serving
from tests.valkey import short_folder

LOCKED_SECONDS = 3.0
"""Beyond the ten that a writer waits."""


pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[Disk, Disk]]:
    """One for all that the service keeps, one for what its jobs work in."""
    with short_folder() as folder:
        try:
            with small_disk(folder / "d", megabytes=48) as kept, small_disk(folder / "s", megabytes=48) as scratch:
                yield kept, scratch
        except NoDisk as reason:
            if "CI" in os.environ:
                raise
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def service(disks: tuple[Disk, Disk], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    kept, scratch = disks
    broker = Broker(kept.folder)
    try:
        broker.start()
        surroundings = {"SECATEUR_BROKER_URL": broker.url, "SECATEUR_SCRATCH_DIR": str(scratch.folder / "jobs")}
        logs = tmp_path_factory.mktemp("outage") / "logs"
        with serving(kept.folder / "var", surroundings, logs=logs) as service:
            yield service
    finally:
        broker.stop()


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


def test_a_full_working_disk_fails_jobs_and_says_whose_fault_it_is(service: Service, disks: tuple[Disk, Disk]) -> None:
    """Everything else goes on; asked to try again when there is room, the job succeeds."""
    _, scratch = disks
    job_id = service.begun()

    with scratch.full():
        with service.held_up():
            looked, submitted = service.ask("GET", f"/v1/jobs/{job_id}"), service.submit()
        service.until(lambda: service.job(job_id)["state"] in FINAL)
        service.lives()

    assert [looked.status_code, submitted.status_code] == [200, 202]
    failed = service.job(job_id)
    told = [failed["failure"][name] for name in ("code", "blame", "retryable")]
    assert told == ["storage_full", "service", True], failed
    assert failed["attempt"] == 3
    service.ask("POST", f"/v1/jobs/{job_id}/retry").raise_for_status()
    service.succeeds(job_id)
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
