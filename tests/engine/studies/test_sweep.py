"""A sweep's two halves around whole trials, run here one after the other."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.pipeline.compress import compress
from engine.run.baseline import from_state_dict, read
from engine.run.load import load
from engine.studies.sweep import FILES, gather, measure_baseline
from secateur.errors import Failure, InternalError, LayerNotPrunable, TrainingDiverged, TrialsFailed, UnknownLayer
from secateur.protocol.progress import Event, StepFinished
from secateur.protocol.states import JobState
from secateur.protocol.work import EndedTrial, GatherTrials
from secateur.reports.report import Report
from secateur.reports.sweep import SweepReport
from secateur.specs.reading import Reading
from secateur.specs.sweep import SweepRecipe, SweepSpec

JOB, IDS = "job_" + "0" * 20, {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20}
WEIGHTS = {"kind": "prune", "schedule": {"kind": "one_shot"}, "reconstruct": False}
SWEEP = {"methods": {"weights": [WEIGHTS]}, "sparsities": [0.5, 0.95], "random_baseline": True}
FAULT: Failure = TrainingDiverged("The loss became nan.", suggestions=["Smaller."]).failure("finetune")

PIXELS = Reading(scale="1/255")


def given(trials: list[EndedTrial], baseline: Path) -> GatherTrials:
    spec = SweepSpec.model_validate(SWEEP | IDS | {"kind": "sweep"})
    return GatherTrials(spec=spec, trials=tuple(trials), seconds=12.5, baseline=str(baseline), out="out")


def ended(report: Path | None = None, failure: Failure | None = None) -> EndedTrial:
    state = JobState.SUCCEEDED if report else JobState.FAILED if failure else JobState.CANCELLED
    return EndedTrial(job_id=JOB, state=state, report=None if report is None else str(report), failure=failure)


@pytest.fixture(scope="module")
def baseline(model_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first half leaves."""
    out = tmp_path_factory.mktemp("baseline")
    recipe = SweepRecipe.model_validate(SWEEP)
    files = measure_baseline(recipe, model=model_file, dataset=data_file, reading=PIXELS, out=out, emit=lambda _: None)
    return out / files[0].name


@pytest.fixture(scope="module")
def swept(
    baseline: Path, model_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SweepReport, Path, list[Event]]:
    """Three trials that ran and one that did not."""
    recipe, trials, out = SweepRecipe.model_validate(SWEEP), [], tmp_path_factory.mktemp("sweep")
    for number, trial in enumerate(recipe.trials()[:3]):
        (folder := out / str(number)).mkdir()
        where: dict[str, Any] = {
            "model": model_file,
            "dataset": data_file,
            "reading": PIXELS,
            "out": folder,
        }
        compress(recipe.recipe_of(trial), **where, emit=lambda _: None, known_baseline=baseline)
        trials.append(ended(folder / "report.json"))
    events: list[Event] = []
    gather(recipe, given([*trials, ended(failure=FAULT)], baseline), out=out, emit=events.append)
    return SweepReport.model_validate_json((out / "report.json").read_text()), out, events


def test_a_point_is_what_its_trial_measured(swept: tuple[SweepReport, Path, list[Event]]) -> None:
    report, out, _ = swept
    alone = Report.model_validate_json((out / "2" / "report.json").read_text())

    assert [point.num_failed for point in report.points] == [0, 0, 0, 1]
    assert report.of("weights")[1].mean == alone.result.quality.score.value
    assert report.of("weights")[1].tflite_gzip_bytes == alone.result.sizes.tflite_gzip_bytes
    assert report.of("weights, random")[1].mean is None


def test_trials_share_the_baseline_that_was_measured_once(
    swept: tuple[SweepReport, Path, list[Event]], model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """It is what a job of its own would have measured, and its bytes are those that trials run beside."""
    report, out, _ = swept
    where: dict[str, Any] = {
        "model": model_file,
        "dataset": data_file,
        "reading": PIXELS,
        "out": tmp_path,
    }
    compress(SweepRecipe.model_validate(SWEEP).recipe_of(report.spec.trials()[0]), **where, emit=lambda _: None)
    alone = Report.model_validate_json((tmp_path / "report.json").read_text()).baseline

    shared = Report.model_validate_json((out / "0" / "report.json").read_text()).baseline

    assert shared.quality == report.baseline.quality == alone.quality
    assert shared.sizes.tflite_bytes == report.baseline.sizes.tflite_bytes == alone.sizes.tflite_bytes


def test_a_baseline_of_another_scaling_is_not_taken_up(baseline: Path, model_file: Path, data_file: Path) -> None:
    recipe = SweepRecipe.model_validate(SWEEP)
    same, other = (
        load(recipe.recipe_of(recipe.trials()[0]), model=model_file, dataset=data_file, reading=Reading(scale=scale))
        for scale in ("1/255", "-1..1")
    )

    assert from_state_dict(same, read(baseline)) is not None
    assert from_state_dict(other, read(baseline)) is None


def test_a_baseline_that_is_none_is_measured_again(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    """The file comes from a process that has run a stranger's model."""
    recipe = SweepRecipe.model_validate(SWEEP)
    first = recipe.recipe_of(recipe.trials()[0])
    run = load(first, model=model_file, dataset=data_file, reading=Reading(scale="1/255"))
    (no_zip := tmp_path / "no_zip.npz").write_bytes(b"PK nothing")
    np.savez(other := tmp_path / "other.npz", told=np.zeros(3), outputs=np.zeros(3), tflite=np.zeros(3))

    assert from_state_dict(run, read(no_zip)) is None
    assert from_state_dict(run, read(other)) is None


def test_a_report_that_is_none_counts_as_no_result(
    swept: tuple[SweepReport, Path, list[Event]], baseline: Path, tmp_path: Path
) -> None:
    (forged := tmp_path / "forged.json").write_text("{}")
    trials = [ended(swept[1] / "0" / "report.json"), ended(forged), ended(forged), ended(forged)]

    gather(SweepRecipe.model_validate(SWEEP), given(trials, baseline), out=tmp_path, emit=lambda _: None)

    report = SweepReport.model_validate_json((tmp_path / "report.json").read_text())
    assert [trial.result is None for trial in report.trials] == [False, True, True, True]


def test_it_leaves_table_plot_and_page(swept: tuple[SweepReport, Path, list[Event]]) -> None:
    report, out, events = swept

    assert all((out / file.name).stat().st_size > 500 for file in FILES)
    rows = list(csv.DictReader((out / "sweep.csv").open()))
    assert [row["state"] for row in rows] == ["succeeded"] * 3 + ["failed"]
    assert float(rows[0]["score"]) == report.points[0].mean
    assert rows[3]["failure"] == "training_diverged"
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "sweep.svg").read_text().startswith("<?xml")
    assert "1 of 4 trials have no result" in " ".join(report.verdicts)
    assert next(each for each in events if isinstance(each, StepFinished)).seconds == 12.5


def test_a_sweep_without_any_result_fails_like_its_first_trial(baseline: Path, tmp_path: Path) -> None:
    ours = InternalError("disk").failure()

    with pytest.raises(TrialsFailed, match="The loss became nan") as caught:
        gather(SweepRecipe.model_validate(SWEEP), given([ended(failure=FAULT)] * 4, baseline), out=tmp_path, emit=print)
    assert caught.value.suggestions == ("Smaller.",)
    with pytest.raises(TrialsFailed, match="cancelled"):
        gather(SweepRecipe.model_validate(SWEEP), given([ended()] * 4, baseline), out=tmp_path, emit=print)
    with pytest.raises(InternalError, match="disk"):
        gather(SweepRecipe.model_validate(SWEEP), given([ended(failure=ours)] * 4, baseline), out=tmp_path, emit=print)


@pytest.mark.parametrize(
    ("step", "fault", "field"),
    [
        ({"skip_layers": ["nosuch"]}, UnknownLayer, "methods.b.0.skip_layers"),
        ({"layers": {"flatten": 0.5}}, LayerNotPrunable, "methods.b.0.layers"),
    ],
)
def test_what_no_trial_could_do_is_refused_before_any_runs(
    step: dict[str, Any], fault: type[Exception], field: str, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    recipe = SweepRecipe.model_validate({"methods": {"a": [WEIGHTS], "b": [WEIGHTS | step]}})

    with pytest.raises(fault) as caught:
        measure_baseline(
            recipe,
            model=model_file,
            dataset=data_file,
            reading=PIXELS,
            out=tmp_path,
            emit=lambda _: None,
        )

    assert caught.value.errors[0].field.startswith(field)  # type: ignore[attr-defined]
