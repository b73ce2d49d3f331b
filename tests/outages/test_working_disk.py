"""The disk that jobs work on is full while the real engine runs: Keras and TensorFlow meet that too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.protocol.states import FINAL
from tests.outages.disk import Disk
from tests.outages.service import REAL, Service, serving

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.fixture
def service(disks: tuple[Disk, Disk], on_disks: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    with serving(disks[0].folder / "var", on_disks, logs=tmp_path / "logs", worker=REAL) as service:
        yield service


def test_a_full_working_disk_fails_jobs_and_says_whose_fault_it_is(service: Service, disks: tuple[Disk, Disk]) -> None:
    """Everything else goes on; tried again when there is room, the job succeeds."""
    _, scratch = disks
    job_id = service.begun()

    with scratch.full():
        with service.held_up():
            looked, uploaded = service.ask("GET", f"/v1/jobs/{job_id}"), service.upload()
        service.until(lambda: service.job(job_id)["state"] in FINAL)
        service.lives()

    assert [looked.status_code, uploaded.status_code] == [200, 201]
    failed = service.job(job_id)
    told = [failed["failure"][name] for name in ("code", "blame", "retryable")]
    assert told == ["storage_full", "service", True], failed
    assert failed["attempt"] == 3
    service.ask("POST", f"/v1/jobs/{job_id}/retry").raise_for_status()
    service.succeeds(job_id)
    service.lives()
