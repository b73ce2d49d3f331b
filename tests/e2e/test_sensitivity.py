"""The second kind of job over real HTTP: measured by the service, recomputed here, and measured only once."""

from pathlib import Path

import keras
import numpy as np
import pytest

from secateur.client.views import Job
from secateur.reports.sensitivity import Curves
from tests.e2e.conftest import Inputs, Service, ask_from_command_line, progressed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the engine differs"),
]

FILES = {"sensitivity.json", "sensitivity.png", "report.json", "report.html"}


def curves(service: Service, job: Job) -> Curves:
    return service.client.sensitivity_report(job.id).curves


@pytest.fixture(scope="module")
def told() -> list[Job]:
    """What the service said of the job on its way."""
    return []


@pytest.fixture(scope="module")
def done(service: Service, trained: Inputs, told: list[Job]) -> Job:
    """A sensitivity job that has ended."""
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}
    spec = {"kind": "sensitivity", **ids, "sparsities": [0.5, 0.75, 0.9]}
    return service.client.wait(service.client.submit(spec).id, on_progress=told.append)


def test_a_sensitivity_job_succeeds_and_leaves_its_files(service: Service, done: Job, told: list[Job]) -> None:
    assert done.state == "succeeded", done.failure
    assert [step.name for step in done.steps] == ["baseline", "sensitivity", "report"]
    assert [progressed(job) for job in told] == sorted(progressed(job) for job in told)
    assert {artifact.name for artifact in service.client.artifacts(done.id)} == FILES
    page = service.http.get(f"/v1/jobs/{done.id}/report", headers={"Accept": "text/html"})
    assert "Most sensitive layer" in page.text


def test_its_numbers_come_out_again_from_the_file_alone(service: Service, done: Job, trained: Inputs) -> None:
    """Cut, multiplied and counted here with NumPy."""
    found = curves(service, done)
    with np.load(trained.dataset) as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    held_out = np.sort(np.random.default_rng(0).permutation(480)[:48])
    layers = {layer.name: layer.get_weights() for layer in keras.saving.load_model(trained.model).layers}

    def accuracy(cut: str | None, share: float = 0.0) -> float:
        values = x[held_out]
        for name, (kernel, bias) in layers.items():
            if name == cut:
                kernel = kernel.copy()
                kernel.flat[np.argsort(np.abs(kernel), axis=None)[: round(share * kernel.size)]] = 0
            values = values @ kernel + bias
            values = np.maximum(values, 0) if name != "head" else values
        return float(np.mean(values.argmax(axis=1) == y[held_out]))

    assert found.num_samples == 48
    assert found.dense == accuracy(None)
    assert set(found.layers) == {"first", "second"}
    for name, scores in found.layers.items():
        assert list(scores) == [accuracy(name, share) for share in (0.5, 0.75, 0.9)]


def test_a_compress_job_with_that_distribution_takes_it_up(service: Service, done: Job, trained: Inputs) -> None:
    """Nothing is measured twice, whoever needs it."""
    prune = {"kind": "prune", "sparsity": 0.6, "distribution": "sensitivity", "reconstruct": False}
    prune |= {"sensitivity": {"sparsities": [0.5, 0.75, 0.9]}, "schedule": {"kind": "one_shot"}}
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}

    job = service.client.wait(service.client.submit(ids | {"steps": [prune]}).id)

    assert job.state == "succeeded", job.failure
    assert any("measured earlier" in note for note in service.client.report(job.id).notes)
    assert "sensitivity.json" in {artifact.name for artifact in service.client.artifacts(job.id)}


def test_the_command_line_shows_the_curves_and_leaves_them_in_a_folder(
    service: Service, trained: Inputs, done: Job, tmp_path: Path
) -> None:
    """Those of the job that was done already: nothing is run again."""
    recipe, out = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text('{"sparsities": [0.5, 0.75, 0.9]}')
    arguments = [str(trained.model), str(trained.dataset), "--spec", str(recipe), "--out", str(out)]

    ended = ask_from_command_line(service, "sensitivity", *arguments)

    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in out.iterdir()} == FILES
    assert "with one layer cut" in ended.stdout
    assert Curves.model_validate_json((out / "sensitivity.json").read_text()) == curves(service, done)
