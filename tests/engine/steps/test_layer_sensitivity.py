"""Each layer cut alone: the scores recomputed by other code, the model as it was, and nothing measured twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from engine.__main__ import app
from engine.run.context import Run
from engine.run.load import load
from engine.steps import layer_sensitivity
from engine.steps.prune import choose
from engine.studies.sensitivity import FILES, measure_sensitivity
from secateur.errors import StructureMismatch, UnknownLayer
from secateur.protocol.progress import Event
from secateur.reports.sensitivity import Curves, SensitivityReport
from secateur.specs.reading import Reading
from secateur.specs.sensitivity import SensitivityRecipe

GRID = {"sparsities": [0.5, 0.9], "samples": 40}


def recipe(**changes: Any) -> SensitivityRecipe:
    return SensitivityRecipe.model_validate(GRID | changes)


def loaded(model_path: Path, data_path: Path, /, **changes: Any) -> Run:
    return load(recipe(**changes).as_recipe(), model=model_path, dataset=data_path, reading=Reading(scale="1/255"))


def held_out(arrays: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first samples of the tenth that seed 0 holds out, as inputs."""
    chosen = np.sort(np.random.default_rng(0).permutation(640)[:64])[:count]
    return arrays["x_train"][chosen][..., None] / np.float32(255), arrays["y_train"][chosen]


@pytest.fixture(scope="module")
def finished(model_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """One whole job, and what it told."""
    out, events = tmp_path_factory.mktemp("out"), list[Event]()
    files = measure_sensitivity(
        recipe(), model=model_file, dataset=data_file, reading=Reading(scale="1/255"), out=out, emit=events.append
    )
    assert files == FILES
    return out, events


def curves_of(out: Path) -> Curves:
    return Curves.model_validate_json((out / "sensitivity.json").read_text())


@pytest.mark.parametrize("name", ["conv", "hidden"])
def test_a_score_is_that_of_the_model_with_this_layer_alone_cut(
    name: str, finished: tuple[Path, list[Event]], model_file: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Cut here by sorting, measured here by Keras, from nothing but the file."""
    model = keras.saving.load_model(model_file)
    kernel = model.get_layer(name).kernel
    weights = kernel.numpy()
    smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[: round(0.9 * weights.size)]
    weights.reshape(-1)[smallest] = 0
    kernel.assign(weights)
    x, y = held_out(arrays, 40)

    found = curves_of(finished[0])

    assert found.num_samples == 40
    assert found.layers[name][1] == float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))
    assert set(found.layers) == {"conv", "hidden"}


def test_the_report_holds_the_curves_and_says_what_they_mean(finished: tuple[Path, list[Event]]) -> None:
    out, events = finished
    report = SensitivityReport.model_validate_json((out / "report.json").read_text())
    layers = {layer.name: layer for layer in report.layers}

    assert report.curves == curves_of(out)
    assert layers["hidden"].scores == report.curves.layers["hidden"]
    assert (layers["hidden"].num_weights, layers["classes"].scores) == (4 * 4 * 8 * 32, ())
    assert "output" in (layers["classes"].reason or "")
    assert report.curves.by_sensitivity()[0] in report.verdicts[0]
    assert (out / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert "held-out samples" in (out / "report.html").read_text()
    assert [e.step for e in events if e.event == "step_finished"] == ["baseline", "sensitivity", "report"]


def test_progress_tells_which_cut_was_measured(finished: tuple[Path, list[Event]]) -> None:
    told = [event for event in finished[1] if event.event == "step_advanced"]

    assert [event.progress for event in told] == [0.25, 0.5, 0.75, 1.0]
    said = [(event.message or "").replace("\N{NO-BREAK SPACE}", " ") for event in told]
    assert said == ["conv at 50 %", "conv at 90 %", "hidden at 50 %", "hidden at 90 %"]
    assert told[-1].eta_seconds == 0


def never(name: str, sparsity: float) -> np.ndarray:
    raise AssertionError(f"{name} was cut to {sparsity} although that was measured")


def test_what_an_earlier_job_measured_is_not_measured_again(
    finished: tuple[Path, list[Event]], model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """Files that are damaged, or of another measurement, are passed over."""
    run = loaded(model_file, data_file)
    broken, other, good = tmp_path / "broken", tmp_path / "other", finished[0] / "sensitivity.json"
    broken.write_text("{")
    other.write_text(curves_of(finished[0]).model_copy(update={"key": "sha256:0"}).model_dump_json())

    found = layer_sensitivity.curves(
        run, recipe().prune, names=["hidden"], cut=never, known=[broken, tmp_path / "gone", other, good]
    )

    assert found.layers == {"hidden": curves_of(finished[0]).layers["hidden"]}
    assert "all layers were measured earlier" in run.notes[-1]
    with pytest.raises(AssertionError, match="although"):
        layer_sensitivity.curves(run, recipe().prune, names=["hidden"], cut=never, known=[other])


def test_only_the_layers_that_are_missing_are_measured(
    finished: tuple[Path, list[Event]], model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    whole, cut = curves_of(finished[0]), list[str]()
    part = tmp_path / "part.json"
    part.write_text(whole.model_copy(update={"layers": {"conv": whole.layers["conv"]}}).model_dump_json())
    run = loaded(model_file, data_file)

    def spy(name: str, sparsity: float) -> np.ndarray:
        cut.append(name)
        return run.masks.weights(name)

    found = layer_sensitivity.curves(run, recipe().prune, names=["conv", "hidden"], cut=spy, known=[part])

    assert cut == ["hidden", "hidden"]
    assert found.layers["conv"] == whole.layers["conv"]
    assert found.layers["hidden"] == (whole.dense, whole.dense)


CHANGES: dict[str, dict[str, Any]] = {
    "the grid": {"sparsities": [0.5, 0.8]},
    "the samples": {"samples": 41},
    "the seed": {"seed": 1},
    "the held-out share": {"data": {"validation_share": 0.2}},
    "the scale": {"data": {"scale": "none"}},
    "the criterion": {"criterion": "random"},
    "the structure": {"structure": "unit"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_measurement_has_another_key(
    change: dict[str, Any], finished: tuple[Path, list[Event]], model_file: Path, data_file: Path
) -> None:
    changed = {"on_chance_baseline": "continue"} | change

    key = layer_sensitivity.digest(loaded(model_file, data_file, **changed), recipe(**changed).prune)

    assert key != curves_of(finished[0]).key


def test_the_same_measurement_of_fewer_layers_has_the_same_key(
    finished: tuple[Path, list[Event]], model_file: Path, data_file: Path
) -> None:
    fewer = {"skip_layers": ["conv"], "on_chance_baseline": "continue"}

    key = layer_sensitivity.digest(loaded(model_file, data_file, **fewer), recipe(**fewer).prune)

    assert key == curves_of(finished[0]).key


def test_a_model_that_was_changed_since_has_another_key(model_file: Path, data_file: Path) -> None:
    """Also within a job: a step before may have trained it."""
    run = loaded(model_file, data_file)
    before = layer_sensitivity.digest(run, recipe().prune)

    run.model.get_layer("hidden").bias.assign(run.model.get_layer("hidden").bias + 1)

    assert layer_sensitivity.digest(run, recipe().prune) != before


def test_what_cannot_be_measured_is_refused_by_the_name_of_its_field(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """Also without a gateway, which asks before there is a job."""
    files = {"model": model_file, "dataset": data_file, "out": tmp_path}

    with pytest.raises(UnknownLayer) as caught:
        measure_sensitivity(
            recipe(skip_layers=["hiden"]), **files, reading=Reading(scale="1/255"), emit=lambda event: None
        )
    assert caught.value.errors[0].field == "skip_layers"

    with pytest.raises(StructureMismatch, match="conv: its kernel has rank 4"):
        measure_sensitivity(recipe(structure="block"), **files, reading=Reading(scale="1/255"), emit=lambda event: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("criterion", ["taylor", "wanda"])
def test_criteria_that_look_at_data_can_be_measured(criterion: str, model_file: Path, data_file: Path) -> None:
    run = loaded(model_file, data_file, criterion=criterion)
    pruner = choose(run, recipe(criterion=criterion).prune)

    found = layer_sensitivity.curves(run, recipe(criterion=criterion).prune, names=pruner.among, cut=pruner.alone())

    assert set(found.layers) == {"conv", "hidden"}
    assert found.layers["hidden"][1] < found.dense


@pytest.fixture(scope="module")
def with_norms(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with BatchNorm and biases, trained a little."""
    keras.utils.set_random_seed(0)
    layers: list[Any] = [keras.Input((8, 8, 1))]
    for number in (1, 2):
        layers += [keras.layers.Conv2D(12, 3, padding="same", name=f"conv_{number}")]
        layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax", name="classes")]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=6, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("norms") / "norms.keras"
    model.save(path)
    return path


def measured(run: Run, cut: Callable[[str, float], np.ndarray], *, units: bool = False) -> Curves:
    return layer_sensitivity.measure(
        run, names=["conv_1"], cut=cut, sparsities=(0.25, 0.5), samples=64, units=units, key="sha256:0"
    )


def test_the_model_is_afterwards_what_it_was_before(with_norms: Path, data_file: Path) -> None:
    """Kernels, biases and the statistics of BatchNorm, whatever was cut, and also when something fails on the way."""
    run = loaded(with_norms, data_file)
    before = [weights.copy() for weights in run.model.get_weights()]

    measured(run, lambda name, sparsity: run.masks.weights(name) * (1 - sparsity), units=True)
    with pytest.raises(ZeroDivisionError):
        measured(run, lambda name, sparsity: np.asarray(1 / 0))

    assert all(np.array_equal(old, new) for old, new in zip(before, run.model.get_weights(), strict=True))


def test_statistics_are_estimated_again_for_each_cut(with_norms: Path, data_file: Path) -> None:
    """All weights made small: BatchNorm undoes that in full with new statistics, and not at all with old ones."""
    run = loaded(with_norms, data_file)
    bias = run.model.get_layer("conv_1").bias
    bias.assign(bias * 0)

    found = measured(run, lambda name, sparsity: run.masks.weights(name) * 0.02)

    kernel = run.model.get_layer("conv_1").kernel
    kernel.assign(kernel * 0.02)
    x = run.context.feed(run.context.data.validation.x[:64])
    plain = float(np.mean(run.model.predict(x, verbose=0).argmax(axis=1) == run.context.data.validation.y[:64]))
    assert found.layers["conv_1"][0] > plain + 0.1


def test_a_unit_that_is_cut_loses_its_bias_too(with_norms: Path, data_file: Path) -> None:
    """As in a prune step: what stays of a unit would go on as a constant."""
    run = loaded(with_norms, data_file)
    seen: list[np.ndarray] = []

    run.model.get_layer("conv_1").bias.assign(np.ones(12))
    weights = run.masks.weights("conv_1") * (np.arange(12) >= 3)
    with layer_sensitivity._cut(run.model, run.masks.kernels[0], weights, units=True):
        seen.append(run.model.get_layer("conv_1").bias.numpy())
    with layer_sensitivity._cut(run.model, run.masks.kernels[0], weights, units=False):
        seen.append(run.model.get_layer("conv_1").bias.numpy())

    assert seen[0].tolist() == [0.0] * 3 + [1.0] * 9
    assert seen[1].tolist() == [1.0] * 12


def test_the_curves_are_kept_as_plain_json(finished: tuple[Path, list[Event]]) -> None:
    """The file is the cache, and users plot it with tools of their own."""
    kept = json.loads((finished[0] / "sensitivity.json").read_text())

    assert kept["sparsities"] == [0.5, 0.9]
    assert kept["layers"]["conv"] == list(curves_of(finished[0]).layers["conv"])
    assert kept["key"].startswith("sha256:")


def test_the_command_takes_up_what_it_left_before(
    finished: tuple[Path, list[Event]], model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """A job that changes only the plot, or adds a layer, reuses the measurements."""
    out, spec = tmp_path / "out", tmp_path / "spec.json"
    shutil.copytree(finished[0], out)
    spec.write_text(json.dumps(GRID))
    options = ["--data", str(data_file), "--scale", "1/255", "--spec", str(spec), "--out", str(out)]

    done = CliRunner().invoke(app, ["sensitivity", str(model_file), *options])

    assert done.exit_code == 0, done.output
    assert "measured earlier" in " ".join(done.output.split())
    assert curves_of(out) == curves_of(finished[0])
