"""A sweep over real HTTP: trials that are jobs of their own, gathered when the last has ended."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from secateur.client.views import Job
from secateur.reports.sweep import SweepReport
from tests.e2e.conftest import Inputs, Service, ask_from_command_line, progressed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the engine differs"),
]

FILES = {"baseline.npz", "sweep.csv", "sweep.png", "sweep.svg", "report.json", "report.html"}
RECIPE: dict[str, Any] = {
    "methods": {"weights": [{"kind": "prune", "schedule": {"kind": "one_shot"}}]},
    "sparsities": [0.5],
    "random_baseline": True,
}


@pytest.fixture(scope="module")
def told() -> list[Job]:
    """What the service said of the sweep on its way."""
    return []


@pytest.fixture(scope="module")
def done(service: Service, trained: Inputs, told: list[Job]) -> Job:
    """A sweep that has ended."""
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}
    spec = {"kind": "sweep", **ids, **RECIPE}
    return service.client.wait(service.client.submit(spec).id, on_progress=told.append)


def test_a_sweep_succeeds_and_leaves_its_files(service: Service, done: Job, told: list[Job]) -> None:
    assert done.state == "succeeded", done.failure
    assert [(step.name, step.state) for step in done.steps] == [
        *(("baseline", "succeeded"), ("trials", "succeeded"), ("report", "succeeded"))
    ]
    assert {job.state for job in told} <= {"queued", "running", "succeeded"}
    assert [progressed(job) for job in told] == sorted(progressed(job) for job in told)
    assert {artifact.name for artifact in service.client.artifacts(done.id)} == FILES
    page = service.http.get(f"/v1/jobs/{done.id}/report", headers={"Accept": "text/html"})
    assert "How much can be cut?" in page.text


def test_every_line_of_its_table_is_a_job_with_that_result(service: Service, done: Job) -> None:
    trials = {job.id: job for job in service.client.trials(done.id)}
    table = service.http.get(f"/v1/jobs/{done.id}/artifacts/sweep.csv").text
    rows = list(csv.DictReader(io.StringIO(table)))

    assert {row["job_id"] for row in rows} == set(trials)
    assert {(row["method"], row["sparsity"]) for row in rows} == {("weights", "0.5"), ("weights, random", "0.5")}
    for row in rows:
        report = service.client.report(row["job_id"])
        assert float(row["score"]) == report.result.quality.score.value
        assert report.baseline.quality == service.client.sweep_report(done.id).baseline.quality
        assert trials[row["job_id"]].parent_id == done.id


def test_trials_do_not_flood_the_list_of_jobs(service: Service, done: Job) -> None:
    listed = {job["id"] for job in service.http.get("/v1/jobs?limit=200").json()["data"]}

    assert done.id in listed
    assert not listed & {job.id for job in service.client.trials(done.id)}


def test_a_cancelled_sweep_takes_its_trials_along(service: Service, trained: Inputs) -> None:
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}
    sweep = service.client.submit({"kind": "sweep", **ids, "seeds": 20})

    def spread(job: Job) -> None:
        if job.state == "running" and service.client.trials(sweep.id):
            service.client.cancel(job.id)

    ended = service.client.wait(sweep.id, on_progress=spread)

    assert ended.state == "cancelled"
    states = {service.client.wait(job.id).state for job in service.client.trials(sweep.id)}
    assert states <= {"cancelled", "succeeded"}


def test_the_command_line_shows_the_table(service: Service, trained: Inputs, done: Job, tmp_path: Path) -> None:
    """That of the sweep that was done already: nothing is run again."""
    recipe, out = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text(json.dumps(RECIPE))
    arguments = [str(trained.model), str(trained.dataset), "--spec", str(recipe), "--out", str(out)]

    ended = ask_from_command_line(service, "sweep", *arguments)

    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in out.iterdir()} == FILES
    assert "over sparsity" in ended.stdout
    assert SweepReport.model_validate_json((out / "report.json").read_text()) == service.client.sweep_report(done.id)
