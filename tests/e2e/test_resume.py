"""Processes are killed in the middle of an epoch; the next attempt goes on from there, to the same weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import psutil
import pytest

from secateur.client.api import Secateur
from secateur.protocol.events import JobEvent
from secateur.protocol.states import FINAL
from stack.interrupts import Interrupts
from stack.machine import Machine, machine
from tests.backing import Backing
from tests.plane import trained_on_the_plane
from tests.waiting import eventually

pytestmark = pytest.mark.alone

ENVIRONMENT: Final = {
    "SECATEUR_CHECKPOINT_SECONDS": "0",
    "SECATEUR_LEASE_SECONDS": "3",
    "SECATEUR_HEARTBEAT_SECONDS": "0.2",
    "SECATEUR_SWEEP_SECONDS": "1",
    "SECATEUR_WARM_CHILDREN": "false",
}
EPOCHS = 6
KILLED: Final = ("child", "worker")
"""What is killed in the first attempt, and in the second: the job needs three."""
STEPS: Final = [
    {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}},
    {"kind": "finetune", "epochs": EPOCHS, "best_epoch": False},
    {"kind": "quantize", "scheme": "int8", "calibration_samples": 32},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, lasting_backing: Backing) -> Iterator[Machine]:
    settings = lasting_backing.settings(tmp_path_factory.mktemp("var"), host="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with machine(settings, Interrupts()) as running:
            yield running


@pytest.fixture(scope="module")
def spec(running: Machine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job whose epochs take a second: two samples are a batch."""
    model, dataset = trained_on_the_plane(tmp_path_factory.mktemp("plane"))
    with Secateur(running.url) as client:
        ids = {"model_id": client.upload_model(model).id, "dataset_id": client.upload_dataset(dataset).id}
        client.wait_ready("model", ids["model_id"])
        client.wait_ready("dataset", ids["dataset_id"])
    return ids | {"kind": "compress", "steps": STEPS, "training": {"batch_size": 2, "optimizer": "adam"}}


def run(
    running: Machine, spec: dict[str, Any], folder: Path, *, kills: Sequence[str]
) -> tuple[list[int], list[JobEvent]]:
    """Run the job to its end, with a kill -9 in as many attempts. Returns in which epochs, and its events."""
    with Secateur(running.url) as client:
        job = client.submit(spec, force=True)
        epochs = [_strike(running, client, job.id, kind, attempt) for attempt, kind in enumerate(kills, 1)]
        while (ended := client.job(job.id, wait_seconds=1.0)).state not in FINAL:
            running.restart_dead()
        assert ended.state == "succeeded", ended.failure
        for artifact in client.artifacts(job.id):
            client.download(job.id, artifact, folder)
        return epochs, list(client.events(job.id))


def _strike(running: Machine, client: Secateur, job_id: str, kind: str, attempt: int) -> int:
    """Kill the worker that runs the job, or all that it has started, once this attempt has ended an epoch."""
    seen: list[int] = []

    def is_in_the_next_epoch() -> bool:
        running.restart_dead()
        job = client.job(job_id)
        if job.attempt == attempt:
            seen.extend(step.epoch for step in job.steps if step.state == "running" and step.epoch is not None)
        return bool(seen) and seen[-1] > seen[0]

    assert eventually(is_in_the_next_epoch, within_seconds=120)
    (part,) = [part for part in running.processes.parts if part.name == "worker-jobs"]
    worker = psutil.Process(part.process.pid)
    for victim in [worker] if kind == "worker" else worker.children(recursive=True):
        victim.kill()
    return seen[-1]


@pytest.mark.timeout(300)
def test_a_job_that_was_killed_in_its_epochs_ends_with_the_same_weights(
    running: Machine, spec: dict[str, Any], tmp_path: Path
) -> None:
    """First its child is killed, then the worker of the second attempt: for the next one both are only a checkpoint."""
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    run(running, spec, tmp_path / "undisturbed", kills=())
    killed_in, events = run(running, spec, tmp_path / "killed", kills=KILLED)

    found, expected = (
        keras.models.load_model(tmp_path / name / "model.keras", compile=False).get_weights()
        for name in ("killed", "undisturbed")
    )
    assert all(map(np.array_equal, found, expected))
    assert (tmp_path / "killed" / "model.tflite").read_bytes() == (
        tmp_path / "undisturbed" / "model.tflite"
    ).read_bytes()
    assert {event.attempt for event in events if event.kind == "progress"} == {1, 2, 3}
    for attempt, epoch, done_again in (
        (2, killed_in[0], ["finetune"]),
        (3, killed_in[1], ["finetune", "quantize", "measure"]),
    ):
        later = [event for event in events if event.attempt == attempt]
        begun = [event.body["step"] for event in later if event.kind == "step" and event.body["state"] == "running"]
        assert begun == done_again, "the original was measured, and the cut made, before"
        epochs = [event.body["epoch"] for event in later if event.kind == "progress" and "epoch" in event.body]
        assert min(epochs) >= epoch, "epochs that had ended were not done again"
        assert any("Resumed in step" in event.body["message"] for event in later if event.kind == "log")
