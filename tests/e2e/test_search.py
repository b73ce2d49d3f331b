"""A search over real HTTP: one request, and the file that is as small as its bound allows."""

from pathlib import Path

import pytest

from secateur.client.views import Job
from secateur.reports.search import SearchReport
from tests.e2e.conftest import Inputs, Service, ask_from_command_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the engine differs"),
]

FILES = {"model.keras", "model.tflite", "best.html", "search.png", "search.svg", "report.json", "report.html"}


RECIPE = {"goals": {"max_accuracy_drop": 0.05}, "resolution": 0.2}


@pytest.fixture(scope="module")
def done(service: Service, trained: Inputs) -> Job:
    """A search that has ended."""
    ids = {"model_id": trained.model_id, "dataset_id": trained.dataset_id}
    return service.client.wait(service.client.submit({"kind": "search", **ids, **RECIPE}).id)


def test_a_search_hands_out_a_file_within_the_bound(service: Service, done: Job) -> None:
    assert done.state == "succeeded", done.failure
    report = service.client.search_report(done.id)
    assert report.goals_met
    lost = report.baseline.quality.score.value - report.best.result.quality.score.value
    assert lost <= 0.05 + 1e-9
    digests = {artifact.name: artifact.digest for artifact in service.client.artifacts(done.id)}
    assert set(digests) == FILES
    assert {file.name: file.digest for file in report.best.files}.items() <= digests.items()


def test_the_command_line_takes_the_bound_and_shows_every_trial(
    service: Service, trained: Inputs, done: Job, tmp_path: Path
) -> None:
    """Those of the search that was done already: the bound on the command line makes it the same request."""
    recipe, out = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text('{"resolution": 0.2}')
    arguments = [str(trained.model), str(trained.dataset), "--drop", "0.05", "--spec", str(recipe), "--out", str(out)]

    ended = ask_from_command_line(service, "search", *arguments)

    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in out.iterdir()} == FILES
    report = SearchReport.model_validate_json((out / "report.json").read_text())
    assert report == service.client.search_report(done.id)
    assert "Trials" in ended.stdout
    assert "within the bound" in ended.stdout
