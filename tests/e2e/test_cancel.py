"""A job that trains is cancelled: its process ends before its user is told so, and nothing of it is left."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobspec.errors import NotCancellable, NotReady
from tests.e2e.conftest import Inputs, Service
from tests.waiting import eventually
from tests.workers.conftest import living_in

TRAINING = [{"kind": "finetune", "epochs": 1000}]


def working_folders(service: Service) -> list[Path]:
    """Folders of children that have a job: those that wait for one have nothing in theirs."""
    return [path.parent for path in service.settings.scratch.glob("worker-*/child-*/data.npz")]


def test_a_job_in_the_middle_of_training_is_cancelled_and_leaves_nothing(
    service: Service, inputs: Inputs, record_property: Callable[[str, object], None]
) -> None:
    """How long that takes is measured by benchmarks/cancel_latency.py; here is that it is done, and in which order."""
    before = service.stored()
    spec = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id, "on_chance_baseline": "continue"}
    job_id = service.client.submit(spec | {"steps": TRAINING, "training": {"batch_size": 8}}).id
    assert eventually(lambda: (service.client.job(job_id).steps[1].epoch or 0) >= 2, within_seconds=90)
    [folder] = working_folders(service)
    assert living_in(folder)

    began = time.monotonic()
    answer = service.http.post(f"/v1/jobs/{job_id}/cancel")
    ended = service.client.wait(job_id)
    record_property("seconds_to_cancelled", round(time.monotonic() - began, 2))

    assert (answer.status_code, answer.json()["state"], ended.state) == (202, "cancelling", "cancelled")
    assert (living_in(folder), folder.exists()) == ([], False), "told only when the process and its folder are gone"
    told = service.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    states = [event["body"]["state"] for event in told if event["kind"] == "state"]
    assert states == ["queued", "running", "cancelling", "cancelled"]
    assert told[-1]["kind"] == "state", "nothing comes after the end"
    steps = {(event["body"]["step"], event["body"]["state"]) for event in told if event["kind"] == "step"}
    assert ("finetune", "running") in steps
    assert ("finetune", "succeeded") not in steps
    assert eventually(lambda: service.stored() == before, within_seconds=30), "what it had kept goes with it"
    assert service.client.artifacts(job_id) == ()
    with pytest.raises(NotReady):
        service.client.report(job_id)
    with pytest.raises(NotCancellable):
        service.client.cancel(job_id)
