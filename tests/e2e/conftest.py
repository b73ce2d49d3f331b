"""A whole service for the tests of this folder: real broker, real workers, real engine, real HTTP.

``make test`` runs ``test_whole_system.py`` alone, so that one process of the test run starts one service. With
``--backing servers`` a compress job, a cancelled one (there) and one that is resumed (``test_resume.py``) run again.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from secateur.client.api import Secateur
from secateur.client.views import Job
from stack.interrupts import Interrupts
from stack.machine import machine
from tests.backing import Backing, stored
from tests.badfiles import good_keras, good_npz
from tests.otlp import Collector, collecting
from tests.plane import trained_on_the_plane


@dataclass(frozen=True)
class Service:
    """The running service, as its user and its operator see it."""

    client: Secateur
    http: httpx.Client
    settings: Settings
    collector: Collector
    """Receives the traces of all its processes."""

    def stored(self) -> set[str]:
        """Every object that the store holds, staged ones too."""
        return stored(self.settings)


@dataclass(frozen=True)
class Inputs:
    """A tiny model and its data, as files and as what the service knows them by."""

    model: Path
    dataset: Path
    model_id: str
    dataset_id: str


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, lasting_backing: Backing) -> Iterator[Service]:
    """One service for all tests here; starting it costs seconds.

    No child waits for a job with all imports done: after each job and each check another one would import TensorFlow.
    """
    settings = lasting_backing.settings(
        tmp_path_factory.mktemp("var"), host="127.0.0.1", port=0, warm_children=False, webhook_targets="any"
    )
    with collecting() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with (
            machine(settings, Interrupts()) as running,
            Secateur(running.url) as client,
            httpx.Client(base_url=running.url, timeout=60) as http,
        ):
            patch.undo()  # its processes have these variables by now; other tests must not see them
            yield Service(client, http, settings, collector)


@pytest.fixture(scope="session")
def inputs(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Uploaded and checked."""
    folder = tmp_path_factory.mktemp("inputs")
    model, dataset = folder / "tiny.keras", folder / "blobs.npz"
    model.write_bytes(good_keras())
    dataset.write_bytes(good_npz())
    model_id, dataset_id = service.client.upload_model(model).id, service.client.upload_dataset(dataset).id
    service.client.wait_ready("model", model_id)
    service.client.wait_ready("dataset", dataset_id)
    return Inputs(model, dataset, model_id, dataset_id)


@pytest.fixture(scope="session")
def trained(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Three blobs in the plane, and a network that tells them apart."""
    model_file, dataset = trained_on_the_plane(tmp_path_factory.mktemp("trained"))
    model_id, dataset_id = service.client.upload_model(model_file).id, service.client.upload_dataset(dataset).id
    service.client.wait_ready("model", model_id)
    service.client.wait_ready("dataset", dataset_id)
    return Inputs(model_file, dataset, model_id, dataset_id)


def progressed(job: Job) -> int:
    """How many of its steps have succeeded."""
    return sum(step.state == "succeeded" for step in job.steps)


def ask_from_command_line(service: Service, kind: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``secateur`` says to a request for a job, at its end."""
    command = [sys.executable, "-m", "secateur.cli.main", kind, *arguments, "--url", service.client.base_url]
    return subprocess.run(command, capture_output=True, text=True, check=False)
