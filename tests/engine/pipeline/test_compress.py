"""Whole jobs of the engine, and their report held against the files that it talks about."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from typer.testing import CliRunner

from engine.__main__ import app
from engine.export.litert import convert
from engine.pipeline.compress import FILES, compress
from secateur.errors import (
    BaselineAtChance,
    DatasetLabelsInvalid,
    ExportDisagrees,
    InputShapeMismatch,
    LabelsMismatch,
    LayerNotPrunable,
    NothingToPrune,
    SecateurError,
    SparsityMissed,
    TrainingDiverged,
    UnknownLayer,
)
from secateur.protocol.progress import Event, planned
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe
from tests.engine.conftest import make_model

PRUNE = {"kind": "prune", "sparsity": 0.8, "schedule": {"kind": "polynomial", "epochs": 2}}


def compressed(
    model: Path, data: Path, out: Path, /, *, scale: Any = "1/255", **recipe: Any
) -> tuple[Report, list[Event]]:
    events: list[Event] = []
    compress(
        Recipe.model_validate(recipe),
        model=model,
        dataset=data,
        reading=Reading(scale=scale),
        out=out,
        emit=events.append,
    )
    return Report.model_validate_json((out / "report.json").read_text()), events


@pytest.fixture(scope="module")
def finished(model_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """One job with every kind of step."""
    out = tmp_path_factory.mktemp("out")
    steps = [PRUNE, {"kind": "finetune", "epochs": 2}, {"kind": "quantize", "scheme": "int8"}]
    return compressed(model_file, data_file, out, steps=steps)[0], out


def test_the_result_is_sparse_small_and_still_right(finished: tuple[Report, Path]) -> None:
    report, _ = finished

    assert report.delivered_sparsity == pytest.approx(0.8, abs=0.02)
    assert report.delivered_sparsity >= 0.799  # type: ignore[operator]
    assert report.result.sizes.tflite_bytes < report.baseline.sizes.tflite_bytes
    assert report.result.quality.score.value > report.baseline.quality.score.value - 0.05
    assert report.baseline.quality.agreement == 1.0
    assert {layer.name for layer in report.layers if layer.pruned} == {"conv", "hidden"}


def test_every_number_of_the_report_comes_out_of_the_files_again(
    finished: tuple[Report, Path], arrays: dict[str, np.ndarray], model_file: Path
) -> None:
    """Recomputed here with other code, from nothing but the files: the report's promise."""
    report, out = finished
    content = (out / "model.tflite").read_bytes()
    pruned = keras.saving.load_model(out / "model.keras")
    original = keras.saving.load_model(model_file)

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    said = []
    for sample in arrays["x_test"]:
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], (sample / 255).astype("f4")[None, ..., None]
        )
        interpreter.invoke()
        said.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].argmax())
    originally = original.predict(arrays["x_test"][..., None] / 255, verbose=0).argmax(axis=1)

    result = report.result
    assert result.quality.score.value == float(np.mean(np.array(said) == arrays["y_test"]))
    assert result.quality.agreement == float(np.mean(np.array(said) == originally))
    assert result.quality.num_samples == len(arrays["y_test"])
    assert result.sizes.tflite_bytes == len(content)
    assert result.sizes.tflite_gzip_bytes == len(gzip.compress(content, 9, mtime=0))
    assert result.sizes.keras_bytes == (out / "model.keras").stat().st_size
    assert result.num_params == sum(w.size for w in pruned.get_weights())
    assert result.num_nonzero_params == sum(np.count_nonzero(w) for w in pruned.get_weights())
    for layer in report.layers:
        assert layer.keras_sparsity == float(np.mean(pruned.get_layer(layer.name).kernel.numpy() == 0))


def test_events_tell_of_every_planned_step_in_order(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    recipe = {"steps": [PRUNE, {"kind": "quantize", "scheme": "dynamic"}]}

    _, events = compressed(model_file, data_file, tmp_path, **recipe)

    expected = [step.name for step in planned(Recipe.model_validate(recipe))]
    assert [event.step for event in events if event.event == "step_started"] == expected
    assert [event.step for event in events if event.event == "step_finished"] == expected
    advances = [event for event in events if event.event == "step_advanced"]
    assert advances[-1].progress == 1.0
    assert advances[-1].epoch == advances[-1].epochs == 2
    assert {"val_metric", "loss"} <= set(advances[-1].metrics)


def test_all_announced_files_are_left(finished: tuple[Report, Path]) -> None:
    _report, out = finished

    assert {path.name for path in out.iterdir()} == {file.name for file in FILES}
    assert json.loads((out / "report.json").read_text())["spec"]["steps"][0]["sparsity"] == 0.8
    assert (out / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("batch_size", "optimizer"),
    [pytest.param(640, "adam", marks=pytest.mark.slow), (64, "sgd"), pytest.param(9, "adamw", marks=pytest.mark.slow)],
)
def test_the_sparsity_that_was_asked_for_is_delivered_however_the_steps_line_up(
    batch_size: int, optimizer: str, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """One step an epoch, or seven, or sixty-four: TFMOT delivers 0 %, 33 % or 77 % in such runs."""
    training = {"batch_size": batch_size, "optimizer": optimizer}

    report, _ = compressed(model_file, data_file, tmp_path, steps=[{**PRUNE, "sparsity": 0.75}], training=training)

    assert report.delivered_sparsity == pytest.approx(0.75, abs=0.001)


def test_a_model_that_was_never_compiled_is_compressed_all_the_same(data_file: Path, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8))
    x = keras.layers.Dense(16, activation="relu", name="hidden")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    model.save(tmp_path / "m.keras")

    report, _ = compressed(tmp_path / "m.keras", data_file, tmp_path, steps=[PRUNE], on_chance_baseline="continue")

    assert "inferred" in report.notes[0]
    assert report.delivered_sparsity == pytest.approx(0.8, abs=0.001)


def test_regression_is_measured_in_its_own_metric(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype("f4")
    y = (x @ rng.normal(size=(6, 2))).astype("f4")
    np.savez(tmp_path / "d.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(32, "relu", name="h"), keras.layers.Dense(2)])
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.01), metrics=["mae"])
    model.fit(x[:300], y[:300], epochs=30, verbose=0)
    model.save(tmp_path / "m.keras")

    report, _ = compressed(tmp_path / "m.keras", tmp_path / "d.npz", tmp_path, scale="none", steps=[PRUNE])

    assert report.baseline.quality.metric == "mean_absolute_error"
    assert not report.baseline.quality.higher_is_better
    expected = float(np.abs(model.predict(x[300:], verbose=0) - y[300:]).mean())
    assert report.baseline.quality.score.value == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        compressed(model_file, data_file, tmp_path / name, steps=[PRUNE], seed=5)

    first, second = (keras.saving.load_model(tmp_path / name / "model.keras").get_weights() for name in ("a", "b"))

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def make_data(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


BAD = [
    pytest.param(UnknownLayer, {"steps": [{**PRUNE, "skip_layers": ["hiden"]}]}, {}, "hidden", id="unknown layer"),
    pytest.param(
        LayerNotPrunable, {"steps": [{**PRUNE, "layers": {"classes": 0.5}}]}, {}, "classes", id="output layer"
    ),
    pytest.param(
        NothingToPrune, {"steps": [{**PRUNE, "skip_layers": ["conv", "hidden"]}]}, {}, "skip_layers", id="nothing left"
    ),
    pytest.param(
        InputShapeMismatch, {"steps": [PRUNE]}, {"x_train": (9, 9), "x_test": (9, 9)}, "(samples, 8, 8, 1)", id="shape"
    ),
    pytest.param(LabelsMismatch, {"steps": [PRUNE]}, {"y_train": 4}, "Renumber", id="label out of range"),
    pytest.param(DatasetLabelsInvalid, {"steps": [PRUNE]}, {"y_test": 4}, "Divide", id="class only in test"),
    pytest.param(
        BaselineAtChance, {"steps": [PRUNE], "data": {"scale": "none"}}, {"divide": 255}, "deviation", id="chance"
    ),
    pytest.param(
        TrainingDiverged,
        {"steps": [{"kind": "finetune", "learning_rate": 1e30, "epochs": 1}], "training": {"optimizer": "sgd"}},
        {},
        "learning_rate",
        id="diverged",
    ),
]


@pytest.mark.parametrize(("error", "recipe", "change", "advice"), BAD)
def test_what_cannot_work_is_refused_with_advice(
    error: type[SecateurError],
    recipe: dict[str, Any],
    change: dict[str, Any],
    advice: str,
    model_file: Path,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    changed = dict(arrays)
    for name, value in change.items():
        if name.startswith("x_"):
            changed[name] = np.zeros((len(arrays[name]), *value), np.uint8)
        elif name.startswith("y_"):
            changed[name] = np.where(np.arange(len(arrays[name])) == 0, value, arrays[name])
        else:
            changed |= {x: (arrays[x] / 255 / value).astype("f4") for x in ("x_train", "x_test")}
    data = make_data(tmp_path / "d.npz", **changed)

    with pytest.raises(error) as caught:
        compressed(model_file, data, tmp_path, **recipe)

    assert any(advice in suggestion for suggestion in caught.value.suggestions)
    assert not (tmp_path / "report.json").exists()


def test_batchnorm_statistics_in_the_file_are_those_of_the_cut_network(
    arrays: dict[str, np.ndarray], data_file: Path, tmp_path: Path
) -> None:
    """Averages of the uncut network, kept by a momentum of 0.999, cost TFMOT's users fifty points of accuracy."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, use_bias=False, name="hidden"),
            keras.layers.BatchNormalization(momentum=0.999, name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(arrays["x_train"] / 255.0, arrays["y_train"], epochs=12, verbose=0)
    model.save(tmp_path / "m.keras")

    steps = [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}}]
    compressed(tmp_path / "m.keras", data_file, tmp_path, steps=steps, on_chance_baseline="continue")

    cut = keras.saving.load_model(tmp_path / "model.keras")
    hidden = (arrays["x_train"] / 255.0).reshape(len(arrays["x_train"]), -1) @ cut.get_layer("hidden").kernel.numpy()
    assert np.allclose(cut.get_layer("norm").moving_mean, hidden.mean(axis=0), atol=0.05)
    assert not np.allclose(model.get_layer("norm").moving_mean, hidden.mean(axis=0), atol=0.05)


def dense_export(model: Any, *_: Any, **__: Any) -> bytes:
    """A converter gone wrong: it exports something else than the model."""
    other = keras.models.clone_model(model)
    return convert(other, "none", calibration=np.zeros((1, 8, 8, 1), "f4"))


def test_a_file_without_the_zeros_fails_the_job_and_is_not_left_behind(
    model_file: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize = {"kind": "quantize", "scheme": "int8"}
    calls = iter([convert, convert, dense_export])  # the baseline, and the float32 file whose columns int8 looks at
    monkeypatch.setattr("engine.export.litert.convert", lambda *args, **named: next(calls)(*args, **named))

    with pytest.raises(SparsityMissed):
        compressed(model_file, data_file, tmp_path, steps=[PRUNE, quantize])

    assert not [path for path in tmp_path.iterdir() if path.name in {file.name for file in FILES}]


@pytest.mark.parametrize("which", [0, 1], ids=["baseline", "result"])
def test_a_float_file_that_computes_something_else_is_not_handed_out(
    which: int, model_file: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([convert] * which + [dense_export])
    monkeypatch.setattr("engine.export.litert.convert", lambda *args, **named: next(calls)(*args, **named))

    with pytest.raises(ExportDisagrees):
        compressed(model_file, data_file, tmp_path, steps=[{"kind": "finetune", "epochs": 1}])


def test_the_compile_config_of_the_user_survives_and_training_uses_its_optimiser(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """Users train on where we stopped: their loss, their metrics, their optimiser."""
    report, _ = compressed(model_file, data_file, tmp_path, steps=[PRUNE, {"kind": "finetune", "epochs": 1}])

    before, after = (
        keras.saving.load_model(path).get_compile_config() for path in (model_file, tmp_path / "model.keras")
    )
    assert after == before
    assert "prune: learning rate 0.003." in report.notes
    assert "finetune: learning rate 0.0003, cosine, warm-up in the first 5 % of the steps." in report.notes


ODD_OPTIMIZERS = [
    pytest.param(lambda: keras.optimizers.Adam(3e-3, use_ema=True), id="averages of weights", marks=pytest.mark.slow),
    pytest.param(
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(3e-3)),
        id="scaled losses",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(3e-3, 10, 0.5)), id="a schedule"
    ),
]


@pytest.mark.parametrize("make_optimizer", ODD_OPTIMIZERS)
def test_optimisers_with_wrappers_averages_or_schedules_train_and_keep_the_zeros(
    make_optimizer: Any, arrays: dict[str, np.ndarray], data_file: Path, tmp_path: Path
) -> None:
    model = make_model()
    model.compile(make_optimizer(), "sparse_categorical_crossentropy")
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=3, verbose=0)
    model.save(tmp_path / "m.keras")

    report, _ = compressed(tmp_path / "m.keras", data_file, tmp_path, steps=[PRUNE], on_chance_baseline="continue")

    assert report.delivered_sparsity == pytest.approx(0.8, abs=0.001)
    assert "prune: learning rate 0.003." in report.notes


@pytest.mark.slow
def test_a_model_in_mixed_precision_is_computed_in_float32(
    arrays: dict[str, np.ndarray], data_file: Path, tmp_path: Path
) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_model()
        model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=8, verbose=0)
        model.save(tmp_path / "m.keras")
    finally:
        keras.config.set_dtype_policy("float32")

    report, _ = compressed(tmp_path / "m.keras", data_file, tmp_path, steps=[PRUNE])

    assert report.result.quality.score.value > 0.9


def test_a_token_that_an_embedding_does_not_have_is_the_samples_fault(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 50, (60, 5))
    np.savez(tmp_path / "d.npz", x_train=x, y_train=x[:, 0] % 2, x_test=x, y_test=x[:, 0] % 2)
    words = [keras.Input((5,), dtype="int32"), keras.layers.Embedding(10, 4), keras.layers.Flatten()]
    keras.Sequential([*words, keras.layers.Dense(4, name="h"), keras.layers.Dense(2)]).save(tmp_path / "m.keras")

    with pytest.raises(InputShapeMismatch, match="cannot compute"):
        compressed(tmp_path / "m.keras", tmp_path / "d.npz", tmp_path, scale="none", steps=[PRUNE])


def test_a_report_and_the_two_files_are_enough_to_repeat_a_job(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """Reports named neither model nor data nor the scale that was used."""
    (tmp_path / "first").mkdir()
    report, _ = compressed(
        model_file, data_file, tmp_path / "first", steps=[PRUNE, {"kind": "quantize", "scheme": "int8"}]
    )
    (tmp_path / "report.json").write_bytes((tmp_path / "first" / "report.json").read_bytes())
    spec = ["--spec", str(tmp_path / "report.json"), "--out", str(tmp_path / "again")]

    done = CliRunner().invoke(app, ["compress", str(model_file), "--data", str(data_file), *spec])

    assert done.exit_code == 0, done.output
    assert (tmp_path / "again" / "model.tflite").read_bytes() == (tmp_path / "first" / "model.tflite").read_bytes()
    assert report.provenance is not None
    assert report.provenance.reading.scale == "1/255"
    assert report.provenance.model.digest == f"sha256:{hashlib.sha256(model_file.read_bytes()).hexdigest()}"
