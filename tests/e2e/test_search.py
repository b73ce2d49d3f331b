"""A search over real HTTP: one request, and the file that is as small as its bound allows."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobspec.search_report import SearchReport
from tests.e2e.conftest import Inputs, Service

pytestmark = pytest.mark.only("embedded", reason="rows and files go the road of test_compress; the engine differs")

FILES = {"model.keras", "model.tflite", "best.html", "search.png", "search.svg", "report.json", "report.html"}


def test_a_search_hands_out_a_file_within_the_bound(service: Service, trained: Inputs) -> None:
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}
    bound = {"kind": "search", **ids, "goals": {"max_accuracy_drop": 0.05}, "resolution": 0.1}

    job = service.client.wait(service.client.submit(bound).id)

    assert job.state == "succeeded", job.failure
    report = service.client.search_report(job.id)
    assert report.goals_met
    lost = report.baseline.quality.score.value - report.best.result.quality.score.value
    assert lost <= 0.05 + 1e-9
    digests = {artifact.name: artifact.digest for artifact in service.client.artifacts(job.id)}
    assert set(digests) == FILES
    assert {file.name: file.digest for file in report.best.files}.items() <= digests.items()


def test_the_command_line_takes_the_bound_and_shows_every_trial(
    service: Service, trained: Inputs, tmp_path: Path
) -> None:
    recipe, out = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text('{"resolution": 0.1, "budget": {"trials": 2}, "on_goals_missed": "deliver"}')
    files = [str(trained.model), str(trained.dataset)]
    command = [*files, "--drop", "0.2", "--spec", str(recipe), "--out", str(out), "--url", service.client.base_url]

    ended = subprocess.run(
        [sys.executable, "-m", "client.cli", "search", *command], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in out.iterdir()} == FILES
    report = SearchReport.model_validate_json((out / "report.json").read_text())
    assert report.spec.goals.max_accuracy_drop == 0.2
    assert "Trials" in ended.stdout
    assert "within the bound" in ended.stdout
