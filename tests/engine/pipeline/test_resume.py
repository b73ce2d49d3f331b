"""A job that resumes from any of its checkpoints produces the same files."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import keras
import numpy as np
import pytest

from engine.checkpoint import file
from engine.checkpoint.sections import Checkpoint, Section
from engine.pipeline.compress import compress
from engine.structured.latency import Timings
from engine.studies.search import search
from engine.studies.sensitivity import measure_sensitivity
from secateur.errors import TargetUnreachable
from secateur.protocol.progress import Event, StepFinished, StepStarted
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe

READING = Reading(scale="1/255")
TRAINING = {"batch_size": 128}
PRUNE = {"kind": "prune", "sparsity": 0.6}
QUANTIZE = {"kind": "quantize", "scheme": "int8", "calibration_samples": 32}


@pytest.fixture(scope="module")
def lively_model(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with state that a process could lose: batch statistics, and a random generator in a layer."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dropout(0.2, name="dropout"),
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(4, activation="softmax", name="classes"),
        ],
        name="lively",
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=6, batch_size=64, verbose=0)
    model.save(path := tmp_path_factory.mktemp("lively") / "model.keras")
    return path


class RecordedJob:
    """Runs a job and records every checkpoint that it saves, as the next process would read it."""

    def __init__(self, work: Callable[..., Any], recipe: Any, folder: Path, **files: Path) -> None:
        self._work, self._recipe, self._folder, self._files = work, recipe, folder, files
        self.checkpoints: list[dict[str, Section]] = []

    def run(
        self, name: str, found: dict[str, Section] | None = None, *, records: bool | None = None
    ) -> tuple[Path, list[Event]]:
        """Run the job in one process. Returns its folder and its events. The first run records checkpoints."""
        (out := self._folder / name).mkdir()
        path, events = self._folder / f"{name}.checkpoint", list[Event]()

        def announce() -> None:
            self.checkpoints.append(file.read(path, self._recipe))
            path.unlink()

        writer = file.CheckpointFile(path, self._recipe, every_seconds=0.0, announce=announce)
        records = found is None if records is None else records
        checkpoint = Checkpoint(writer if records else None, dict(found or {}))
        self._work(self._recipe, reading=READING, out=out, emit=events.append, checkpoint=checkpoint, **self._files)
        assert not checkpoint.sections, "every section that was saved was restored"
        return out, events


Moment = Literal["first in a training", "last in a training", "last between steps"]

MOMENTS: Final = [
    pytest.param("first in a training", marks=pytest.mark.slow),
    pytest.param("last in a training"),
    pytest.param("last between steps", marks=pytest.mark.slow),
]
"""Which checkpoint a job is resumed from. Each costs a run; the last in a training holds the most state."""


def at(moment: Moment, checkpoints: list[dict[str, Section]]) -> dict[str, Section]:
    """The checkpoint that was saved at this moment."""
    if moment == "last between steps":
        return [found for found in checkpoints if "training" not in found][-1]
    inside = [found for found in checkpoints if "training" in found]
    return inside[0] if moment == "first in a training" else inside[-1]


def weights(out: Path) -> list[np.ndarray]:
    return [np.asarray(each) for each in keras.models.load_model(out / "model.keras", compile=False).get_weights()]


def report_of(folder: Path) -> Report:
    return Report.model_validate_json((folder / "report.json").read_bytes())


RECIPES: dict[str, dict[str, Any]] = {
    "best epoch, then int8": {
        "steps": [
            PRUNE | {"schedule": {"kind": "polynomial", "epochs": 2, "recoverable": True}},
            {"kind": "finetune", "epochs": 2, "best_epoch": True},
            QUANTIZE,
        ],
    },
    "units with biases, momentum, warm restarts, changed images": {
        "steps": [PRUNE | {"structure": "unit", "schedule": {"kind": "iterative", "cycles": 3, "recoverable": True}}],
        "training": TRAINING | {"optimizer": "sgd", "augment": {"shift": 0.1}, "class_weight": "balanced"},
    },
    "a teacher, and half precision": {
        "steps": [
            PRUNE | {"schedule": {"kind": "one_shot"}},
            {"kind": "finetune", "epochs": 3, "best_epoch": False, "distill": {"weight": 0.5}},
        ],
        "training": TRAINING | {"precision": "mixed_float16"},
    },
    "channels, and weights in what is left": {
        "steps": [
            {"kind": "prune", "structure": "channel", "sparsity": 0.5}
            | {"schedule": {"kind": "iterative", "cycles": 2, "epochs_per_cycle": 2}},
            PRUNE | {"schedule": {"kind": "constant", "epochs": 2}},
        ],
    },
    "shares by sensitivity": {
        "steps": [
            PRUNE
            | {"distribution": "sensitivity", "sensitivity": {"sparsities": [0.5, 0.9], "samples": 50}}
            | {"schedule": {"kind": "constant", "epochs": 2}},
        ],
    },
}


@pytest.fixture(scope="module")
def uninterrupted(
    lively_model: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[RecordedJob, Path]]:
    """Runs the job of a recipe from beginning to end, once, however many tests resume it."""

    @cache
    def run(name: str) -> tuple[RecordedJob, Path]:
        asked = Recipe.model_validate({"training": TRAINING, **RECIPES[name]})
        job = RecordedJob(compress, asked, tmp_path_factory.mktemp("job"), model=lively_model, dataset=data_file)
        out, _ = job.run("whole")
        assert len(job.checkpoints) >= len(asked.steps) + 2
        return job, out

    return run


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", RECIPES)
def test_from_any_checkpoint_a_job_produces_the_same_weights(
    name: str, moment: Moment, uninterrupted: Callable[[str], tuple[RecordedJob, Path]]
) -> None:
    job, whole = uninterrupted(name)

    out, events = job.run(moment, at(moment, job.checkpoints))

    assert all(map(np.array_equal, weights(out), weights(whole)))
    assert (out / "model.tflite").read_bytes() == (whole / "model.tflite").read_bytes()
    assert StepStarted(step="baseline") not in events, "finished steps do not run again"


@pytest.mark.slow
def test_channels_are_cut_by_the_times_that_the_first_process_measured(
    lively_model: Path, data_file: Path, tmp_path: Path
) -> None:
    """No two measurements agree to the last digit, and a digit is a channel more or less."""
    step = {"kind": "prune", "structure": "channel", "latency": 0.5, "channel_multiple": 1, "spare": []}
    schedule = {"kind": "iterative", "cycles": 2, "epochs_per_cycle": 1}
    asked = Recipe.model_validate(
        {"steps": [step | {"criterion": "l2_norm", "reconstruct": False, "schedule": schedule}]}
    )
    job = RecordedJob(compress, asked, tmp_path, model=lively_model, dataset=data_file)
    with suppress(TargetUnreachable):  # to a clock this model is next to nothing, all the more on a busy machine
        job.run("timed")
    timed = next(found for found in job.checkpoints if "timings" in found)
    conv, hidden, classes = Timings.from_state_dict(timed["timings"]).kinds

    still = tuple(replace(each, times=((0.0, 0.0), (0.0, 0.0))) for each in (hidden, classes) if each)
    a_filter_a_millisecond = replace(conv or pytest.fail("it is timed"), times=((2.0, 8.0), (2.0, 8.0)))
    timings = Timings(10.0, (a_filter_a_millisecond, *still)).state_dict()
    job.checkpoints.clear()
    whole, _ = job.run("whole", {**timed, "timings": timings}, records=True)
    out, _ = job.run("from_between", next(found for found in job.checkpoints if "course" in found))

    assert {group.name: group.after for group in report_of(whole).groups}["conv"] == 8 - 5, "half of 10 ms"
    assert all(map(np.array_equal, weights(out), weights(whole))), "the second cut goes by the same times"


def test_finished_steps_emit_no_events_again_and_keep_their_times(
    lively_model: Path, data_file: Path, tmp_path: Path
) -> None:
    asked = Recipe.model_validate({"training": TRAINING, "steps": [{"kind": "finetune", "epochs": 2}, QUANTIZE]})
    job = RecordedJob(compress, asked, tmp_path, model=lively_model, dataset=data_file)
    whole, _ = job.run("whole")

    out, events = job.run("again", job.checkpoints[-1])

    assert [event.step for event in events if isinstance(event, StepFinished)] == ["measure"]
    reports = [report_of(folder) for folder in (whole, out)]
    assert reports[1].seconds.keys() == reports[0].seconds.keys()
    assert reports[1].seconds["finetune"] == reports[0].seconds["finetune"]
    assert reports[1].history == reports[0].history
    assert reports[1].notes == reports[0].notes


@pytest.fixture(scope="module")
def searched(lively_model: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedJob, Path]:
    """A search from beginning to end."""
    asked = SearchRecipe.model_validate(
        {
            "steps": [{"kind": "prune", "schedule": {"kind": "constant", "epochs": 2}}],
            "training": TRAINING,
            "budget": {"trials": 3},
            "goals": {"max_accuracy_drop": 0.05},
        }
    )
    job = RecordedJob(search, asked, tmp_path_factory.mktemp("search"), model=lively_model, dataset=data_file)
    return job, job.run("whole")[0]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_search_resumes_after_its_trials(moment: Moment, searched: tuple[RecordedJob, Path]) -> None:
    job, whole = searched

    assert len(job.checkpoints) >= 6, "after trials and inside them"
    out, _ = job.run(moment, at(moment, job.checkpoints))
    assert (out / "model.tflite").read_bytes() == (whole / "model.tflite").read_bytes()


def test_layers_that_were_measured_are_not_measured_again(lively_model: Path, data_file: Path, tmp_path: Path) -> None:
    asked = SensitivityRecipe.model_validate({"sparsities": [0.5, 0.9], "samples": 50})
    job = RecordedJob(measure_sensitivity, asked, tmp_path, model=lively_model, dataset=data_file)

    whole, _ = job.run("whole")
    out, _ = job.run("again", job.checkpoints[0])

    assert (out / "sensitivity.json").read_bytes() == (whole / "sensitivity.json").read_bytes()
    assert "1 of 2 layers were measured earlier" in (out / "report.json").read_text()


def test_a_checkpoint_of_other_work_or_of_none_is_not_restored(tmp_path: Path) -> None:
    first, other = (Recipe.model_validate({"steps": [PRUNE], "seed": seed}) for seed in (0, 1))
    path = tmp_path / "checkpoint"
    writer = file.CheckpointFile(path, first, every_seconds=0.0, announce=lambda: None)
    writer.save(lambda: {"job": {"number": np.arange(3)}})

    assert file.read(path, first)["job"]["number"].tolist() == [0, 1, 2]
    assert file.read(path, other) == {}
    assert not writer.is_due(), "the worker has not removed the file yet"
    path.write_bytes(path.read_bytes()[:200])
    assert file.read(path, first) == {}


def test_a_job_continues_if_its_checkpoint_cannot_be_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, or a limit on files: the work itself may still fit."""
    recipe = Recipe.model_validate({"steps": [PRUNE]})
    writer = file.CheckpointFile(
        tmp_path / "gone" / "checkpoint", recipe, every_seconds=0.0, announce=lambda: pytest.fail("nothing is there")
    )

    writer.save(lambda: {"job": {"number": np.arange(3)}})

    assert "could not be saved" in caplog.text
