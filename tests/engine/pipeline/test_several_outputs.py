"""Models with several outputs: each is trained by its own labels and told in the report, one of them is judged."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.evaluation.outputwise import output_verdicts
from engine.export import litert
from engine.importers.load_model import load_model
from engine.inspection.summary import summarise
from engine.models.predict import predict
from engine.objectives.objectives import Objectives, objective_of
from engine.parts import Parts
from engine.pipeline.compress import compress
from engine.run import baseline
from engine.run.load import load
from engine.studies.sensitivity import measure_sensitivity
from secateur.errors import BridgeRefused, LabelsMismatch, TrainingUnserved
from secateur.reports.report import Interval, OutputQuality, Quality, Report
from secateur.reports.sensitivity import SensitivityReport
from secateur.specs.reading import Reading
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Objective, Recipe
from tests.engine.conftest import bars

READING = Reading(scale="1/255")
TFMOT = {"kind": "prune", "sparsity": 0.5, "toolkit": "tfmot", "schedule": {"kind": "constant", "epochs": 1}}
NONE: list[dict[str, Any]] = [{"kind": "quantize", "scheme": "none"}]


def light(x: np.ndarray) -> np.ndarray:
    """How bright each of the four places for a bar is, float32, shape (n, 4): as many numbers as there are classes."""
    return (x.reshape(len(x), 4, 16).mean(axis=2) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    found = {}
    for split, count, seed in (("train", 640, 1), ("test", 300, 2)):
        x, y = bars(count, seed)
        found |= {f"x_{split}": x, f"y_{split}.light": light(x), f"y_{split}.bar": y}
    return found


@pytest.fixture(scope="module")
def data_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, **arrays)
    return path


def make_model() -> Any:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8), name="image")
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(keras.layers.Flatten()(image))
    bar = keras.layers.Dense(4, activation="softmax", name="bar")(hidden)
    gauge = keras.layers.Dense(16, activation="relu", name="gauge")(hidden)
    model = keras.Model(image, [keras.layers.Dense(4, name="light")(gauge), bar], name="lit")
    losses = {"light": "mean_absolute_error", "bar": "sparse_categorical_crossentropy"}
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss=losses, loss_weights={"light": 3.0, "bar": 1.0})
    return model


@pytest.fixture(scope="module")
def model_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model()
    labels = [arrays["y_train.light"], arrays["y_train.bar"]]
    model.fit(arrays["x_train"] / np.float32(255), labels, epochs=12, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("model") / "lit.keras"
    model.save(path)
    return path


def compressed(model: Path, data: Path, out: Path, **fields: Any) -> Report:
    recipe = Recipe.model_validate({"training": {"batch_size": 32}} | fields)
    compress(recipe, model=model, dataset=data, reading=READING, out=out, emit=lambda event: None)
    return Report.model_validate_json((out / "report.json").read_text())


def test_both_outputs_are_trained_and_told_and_one_is_judged(
    model_file: Path, data_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    steps = [
        {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 3}},
        {"kind": "finetune", "epochs": 2},
        {"kind": "quantize", "scheme": "int8", "calibration_samples": 64},
    ]

    report = compressed(model_file, data_file, tmp_path, steps=steps, objective={"judged": "bar"})

    said = litert.Runner((tmp_path / "model.tflite").read_bytes(), outputs=("light", "bar"))
    outputs = said.predict([arrays["x_test"] / np.float32(255)])
    assert isinstance(outputs, Parts)
    hits = (outputs.named("bar").argmax(axis=1) == arrays["y_test.bar"]).mean()
    error = np.abs(outputs.named("light") - arrays["y_test.light"]).mean()
    assert report.result.quality.metric == "accuracy"
    assert report.result.quality.score.value == pytest.approx(hits)
    assert hits > 0.9
    told = {each.name: each for each in report.outputs}
    assert {name: (each.judged, each.weight) for name, each in told.items()} == {
        "light": (False, 3.0),
        "bar": (True, 1.0),
    }
    assert told["bar"].after == report.result.quality
    assert told["light"].after is not None
    assert told["light"].after.score.value == pytest.approx(error, rel=1e-4)
    assert error < 0.05
    assert report.history[-1].val_metric > 0.9
    assert any("'bar' is judged" in note for note in report.notes)


def test_without_a_word_the_first_output_is_judged_by_channels_and_taylor_too(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    step = {"kind": "prune", "structure": "channel", "sparsity": 0.25, "schedule": {"kind": "one_shot"}}
    step |= {"criterion": "taylor", "spare": [], "channel_multiple": 1}

    report = compressed(model_file, data_file, tmp_path, steps=[step])

    assert report.result.quality.metric == "mean_absolute_error"
    assert [each.name for each in report.outputs if each.judged] == ["light"]
    assert report.result.num_params < report.baseline.num_params


@pytest.mark.slow
def test_an_output_without_labels_is_left_alone_but_its_agreement_is_told(
    model_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    data = tmp_path / "bars.npz"
    np.savez(data, **{name: array for name, array in arrays.items() if "light" not in name})
    steps = [{"kind": "finetune", "epochs": 1}, *NONE]

    report = compressed(model_file, data, tmp_path, steps=steps)

    told = {each.name: each for each in report.outputs}
    assert told["bar"].judged
    assert (told["light"].weight, told["light"].before, told["light"].after) == (None, None, None)
    assert told["light"].agreement < 1.0
    before, after = load_model(model_file), load_model(tmp_path / "model.keras")
    assert np.array_equal(before.get_layer("gauge").kernel, after.get_layer("gauge").kernel)
    assert not np.array_equal(before.get_layer("bar").kernel, after.get_layer("bar").kernel)


def test_sensitivity_is_that_of_the_output_that_is_judged(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    recipe = SensitivityRecipe(sparsities=(0.5, 0.99), objective=Objective(judged="bar"))

    measure_sensitivity(
        recipe, model=model_file, dataset=data_file, reading=READING, out=tmp_path, emit=lambda event: None
    )

    report = SensitivityReport.model_validate_json((tmp_path / "report.json").read_text())
    assert report.curves.metric == "accuracy"
    assert set(report.curves.layers["gauge"]) == {report.curves.dense}, "what the other output reads cannot matter"
    assert report.curves.layers["hidden"][-1] < report.curves.dense


def test_a_trial_takes_up_every_output_that_its_sweep_measured(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    recipe = Recipe.model_validate({"steps": NONE, "objective": {"judged": "bar"}})
    run = load(recipe, model=model_file, dataset=data_file, reading=READING)
    (tmp_path / "work").mkdir()
    measured = baseline.measured(run, tmp_path / "work")
    baseline.save(run, measured, tmp_path / "baseline.npz")

    found = baseline.from_state_dict(run, baseline.read(tmp_path / "baseline.npz"))

    assert found is not None
    assert found.by_output == measured.by_output
    assert found.quality == measured.by_output["bar"]
    assert isinstance(found.outputs, Parts)
    assert isinstance(measured.outputs, Parts)
    assert np.array_equal(found.outputs.named("light"), measured.outputs.named("light"))
    of_light = recipe.model_copy(update={"objective": Objective(judged="light")})
    other = load(of_light, model=model_file, dataset=data_file, reading=READING)
    assert baseline.from_state_dict(other, baseline.read(tmp_path / "baseline.npz")) is None, "another output is judged"


@pytest.mark.parametrize("scheme", ["none", "int8"])
def test_outputs_of_one_shape_are_told_apart_by_name(scheme: Any, arrays: dict[str, np.ndarray]) -> None:
    model, inputs = make_model(), (arrays["x_test"][:16] / 255).astype(np.float32)

    content = litert.convert(model, scheme, calibration=inputs)

    outputs = litert.Runner(content, outputs=("light", "bar")).predict([inputs])
    expected = predict(model, inputs)
    assert isinstance(outputs, Parts)
    assert isinstance(expected, Parts)
    for name in ("light", "bar"):
        assert np.allclose(outputs.named(name), expected.named(name), atol=0.02 if scheme == "int8" else 1e-5)
    assert not np.allclose(outputs.named("light"), expected.named("bar"), atol=0.02)


def test_losses_and_weights_come_from_the_compile_config_unless_they_are_given() -> None:
    kinds: Any = {"light": "values", "bar": "classes"}
    wanted = Objective.model_validate({"outputs": {"light": {"loss": "mean_squared_error", "weight": 0.5}}})

    own, given = (objective_of(make_model(), ("light", "bar"), kinds, each) for each in (Objective(), wanted))

    assert isinstance(own, Objectives)
    assert isinstance(given, Objectives)
    assert [(each.objective.loss_name, each.weight) for each in own.outputs] == [
        ("mean_absolute_error", 3.0),
        ("sparse_categorical_crossentropy", 1.0),
    ]
    assert [(each.objective.loss_name, each.weight) for each in given.outputs] == [
        ("mean_squared_error", 0.5),
        ("sparse_categorical_crossentropy", 1.0),
    ]


def test_the_loss_is_the_weighted_sum_of_the_losses_of_outputs_with_labels() -> None:
    aim = objective_of(make_model(), ("light", "bar"), {"light": "values"}, Objective())
    labels = aim.encode(Parts(("light",), (np.zeros((2, 4), np.float32),)))

    total = aim.loss(labels, [np.full((2, 4), 0.5, np.float32), np.full((2, 4), 0.25, np.float32)])

    assert float(total) == pytest.approx(3.0 * 0.5)


def test_outputs_that_come_by_key_come_in_order(tmp_path: Path) -> None:
    """Models that give and take dicts are used with lists, under the names of their layers."""
    one, two = keras.Input((2,), name="zeta"), keras.Input((2,), name="alpha")
    outputs = {"sum": keras.layers.Add(name="both")([one, two]), "first": keras.layers.Identity(name="same")(one)}
    model = keras.Model({"zeta": one, "alpha": two}, outputs)
    model.compile(loss={"sum": "mean_squared_error", "first": "mean_absolute_error"})
    model.save(tmp_path / "keyed.keras")

    loaded = load_model(tmp_path / "keyed.keras")

    summary = summarise(loaded)
    assert [tensor.name for tensor in summary.inputs] == ["alpha", "zeta"]
    assert [tensor.name for tensor in summary.outputs] == ["same", "both"]
    assert summary.loss == "mean_absolute_error, mean_squared_error"
    said = predict(loaded, Parts(("alpha", "zeta"), (np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32))))
    assert isinstance(said, Parts)
    assert said.named("both").tolist() == [[1.0, 1.0]]
    aim = objective_of(loaded, ("same", "both"), {"same": "values", "both": "values"}, Objective())
    assert [each.loss_name for each in aim.all] == ["mean_absolute_error", "mean_squared_error"]


def quality(value: float, *, error: bool) -> Quality:
    metric = "mean_absolute_error" if error else "accuracy"
    score = Interval(value=value, low=value - 0.01, high=value + 0.01)
    return Quality(metric=metric, higher_is_better=not error, score=score, num_samples=100, agreement=1.0)


@pytest.mark.parametrize(("error", "told"), [(0.5, True), (0.405, False), (0.3, False)])
def test_an_output_that_lost_more_than_the_judged_one_has_a_verdict(error: float, told: bool) -> None:
    outputs = [
        OutputQuality(
            name=name, judged=name == "bar", weight=1.0, before=before, after=after, metric=before.metric, agreement=1.0
        )
        for name, before, after in (
            ("bar", quality(0.9, error=False), quality(0.88, error=False)),
            ("light", quality(0.4, error=True), quality(error, error=True)),
        )
    ]

    found = list(output_verdicts(outputs))

    assert bool(found) == told
    assert all("'light' lost more" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"objective": {"judged": "lamp"}}, LabelsMismatch, "objective.judged"),
        ({"objective": {"outputs": {"lamp": {}}}}, LabelsMismatch, "objective.outputs.lamp"),
        ({"objective": {"outputs": {"bar": {"metric": "r2"}}}}, LabelsMismatch, "objective.outputs.bar.metric"),
        ({"training": {"class_weight": "balanced"}}, TrainingUnserved, "training.class_weight"),
        ({"steps": [{"kind": "finetune", "epochs": 1, "distill": {}}]}, TrainingUnserved, "steps.0.distill"),
        (
            {
                "steps": [
                    {
                        "kind": "prune",
                        "sparsity": 0.5,
                        "toolkit": "tfmot",
                        "schedule": {"kind": "constant", "epochs": 1},
                    }
                ]
            },
            BridgeRefused,
            "steps.0.toolkit",
        ),
    ],
    ids=["judged", "outputs", "metric", "class_weight", "distill", "tfmot"],
)
def test_what_several_outputs_cannot_have_is_refused_before_training(
    fields: dict[str, Any], error: Any, field: str, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        compressed(model_file, data_file, tmp_path, **({"steps": NONE} | fields))

    assert caught.value.errors[0].field == field


@pytest.mark.parametrize(
    ("names", "told"),
    [({"y_train.light": "y_train.lamp", "y_test.light": "y_test.lamp"}, "'lamp'"), (None, "does not say whose labels")],
)
def test_labels_must_name_outputs(names: Any, told: str, model_file: Path, arrays: Any, tmp_path: Path) -> None:
    data = tmp_path / "bars.npz"
    found = {name: array for name, array in arrays.items() if names is not None or "light" not in name}
    np.savez(
        data, **{(names or {}).get(name, name if names else name.removesuffix(".bar")): a for name, a in found.items()}
    )

    with pytest.raises(LabelsMismatch, match=told):
        compressed(model_file, data, tmp_path, steps=NONE)
