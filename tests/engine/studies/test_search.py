"""Whole searches: what they hand out is what they say, and what a compress job would have made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from engine.pipeline.compress import compress
from engine.studies.search import FILES, search
from secateur.errors import GoalsMissed, UnknownLayer
from secateur.protocol.progress import Event, StepAdvanced, planned
from secateur.reports.report import Report
from secateur.reports.search import SearchReport
from secateur.specs.reading import Reading
from secateur.specs.search import SearchRecipe

WEIGHTS = {"kind": "prune", "schedule": {"kind": "one_shot"}}
TRAINED = {"kind": "prune", "schedule": {"kind": "constant", "epochs": 1}}


def searched(model: Path, data: Path, out: Path, /, **recipe: Any) -> tuple[SearchReport, list[Event]]:
    events: list[Event] = []
    given = SearchRecipe.model_validate(recipe)
    search(given, model=model, dataset=data, reading=Reading(scale="1/255"), out=out, emit=events.append)
    return SearchReport.model_validate_json((out / "report.json").read_text()), events


@pytest.fixture(scope="module")
def found(
    model_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchReport, Path, list[Event]]:
    """A search for one cut without training."""
    out = tmp_path_factory.mktemp("search")
    report, events = searched(model_file, data_file, out, steps=[WEIGHTS | {"reconstruct": False}], resolution=0.05)
    return report, out, events


def test_the_answer_is_the_highest_trial_within_the_bound(found: tuple[SearchReport, Path, list[Event]]) -> None:
    report, out, _ = found
    met = [trial for trial in report.trials if trial.met]

    assert report.goals_met
    assert report.sparsity == max(trial.sparsity for trial in met)
    assert all(trial.drop <= 0.01 for trial in met if trial.drop is not None)
    assert any(not trial.met for trial in report.trials)
    assert {path.name for path in out.iterdir()} == {file.name for file in FILES}


def test_the_file_computes_what_the_report_says(found: tuple[SearchReport, Path, list[Event]], data_file: Path) -> None:
    """Recomputed with nothing of ours."""
    report, out, _ = found
    interpreter = Interpreter(model_path=str(out / "model.tflite"))
    interpreter.allocate_tensors()
    given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    with np.load(data_file) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]

    def says(sample: Any) -> int:
        interpreter.set_tensor(given["index"], (sample.reshape(given["shape"]) / 255).astype("float32"))
        interpreter.invoke()
        return int(interpreter.get_tensor(told["index"]).argmax())

    assert np.mean([says(sample) == label for sample, label in zip(x, y, strict=True)]) == pytest.approx(
        report.best.result.quality.score.value
    )


def test_a_compress_job_with_that_sparsity_makes_the_same_file(
    found: tuple[SearchReport, Path, list[Event]], model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    report, _out, _ = found
    where: dict[str, Any] = {
        "model": model_file,
        "dataset": data_file,
        "reading": Reading(scale="1/255"),
        "out": tmp_path,
    }

    compress(report.spec.recipe_of(report.sparsity), **where, emit=lambda _: None)

    alone = Report.model_validate_json((tmp_path / "report.json").read_text())
    assert alone.result.quality == report.best.result.quality
    assert alone.delivered_sparsity == report.best.delivered_sparsity


def test_its_progress_rises_and_names_the_trial(found: tuple[SearchReport, Path, list[Event]]) -> None:
    report, _, events = found
    advanced = [event for event in events if isinstance(event, StepAdvanced)]

    assert [step.name for step in planned(report.spec)] == ["baseline", "search", "report"]
    assert [event.progress for event in advanced] == sorted(event.progress for event in advanced)
    assert "trial 1: 90" in (advanced[0].message or "")


def test_trials_that_train_go_on_from_the_best_so_far(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    recipe = {"steps": [TRAINED], "budget": {"trials": 2}, "goals": {"max_accuracy_drop": 0.9}}

    report, _ = searched(model_file, data_file, tmp_path, **recipe)

    assert [trial.started_from for trial in report.trials] == [0.0, report.trials[0].sparsity]
    assert report.stopped_by == "trials"
    assert report.best.delivered_sparsity == pytest.approx(report.sparsity, abs=0.01)


def test_goals_that_nothing_meets_fail_or_deliver_the_nearest_as_asked(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """Random places at the deepest end, and no repair: nothing can stay right."""
    step = WEIGHTS | {"criterion": "random", "reconstruct": False}
    recipe: dict[str, Any] = {"steps": [step], "budget": {"trials": 2}, "goals": {"max_accuracy_drop": 0.0}}

    with pytest.raises(GoalsMissed, match="None of 2 trials met the goal, a drop of at most 0") as caught:
        searched(model_file, data_file, tmp_path, **recipe)
    assert "on_goals_missed" in caught.value.suggestions[0]
    assert not list(tmp_path.iterdir())

    report, _ = searched(model_file, data_file, tmp_path, **recipe, on_goals_missed="deliver")
    drops = [trial.drop for trial in report.trials if trial.drop is not None]
    assert not report.goals_met
    assert report.best.result.quality.score.value == pytest.approx(report.baseline.quality.score.value - min(drops))
    assert "No trial met the goals" in report.verdicts[0]


def test_a_cut_that_cannot_be_made_is_a_trial_that_says_why(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    step = {"kind": "prune", "structure": "channel", "macs": 0.5, "max_layer_sparsity": 0.5, "channel_multiple": 1}
    recipe = {"steps": [step], "goals": {"max_accuracy_drop": 1.0}, "resolution": 0.2}

    report, _ = searched(model_file, data_file, tmp_path, **recipe)

    refused = [trial for trial in report.trials if trial.result is None]
    assert refused
    assert all(trial.why and not trial.met for trial in refused)
    assert all(trial.sparsity > report.sparsity for trial in refused)


def test_what_cannot_work_is_refused_before_the_first_trial(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownLayer, match="nosuch"):
        searched(model_file, data_file, tmp_path, steps=[WEIGHTS | {"skip_layers": ["nosuch"]}])


def test_channels_in_their_default_form_can_be_searched_for(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    """A small share of few channels rounds to none, which is a trial and no reason to refuse the search."""
    step = {"kind": "prune", "structure": "channel", "channel_multiple": 4}
    recipe = {"steps": [step], "goals": {"max_accuracy_drop": 1.0}, "budget": {"trials": 1}, "highest": 0.8}

    report, _ = searched(model_file, data_file, tmp_path, **recipe)

    assert report.goals_met
    assert report.best.result.num_params < report.baseline.num_params
