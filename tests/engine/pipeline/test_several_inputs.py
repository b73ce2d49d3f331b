"""Models with several inputs go every way that models with one go; what is for which is never told by position."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.feed import Feed, Feeds, ordered_batches, training_batches
from engine.data.order import SampleOrder
from engine.data.rows import Rows, scratch_file
from engine.export import litert
from engine.models.predict import predict
from engine.parts import Parts
from engine.pipeline.compress import compress
from engine.studies.sensitivity import measure_sensitivity
from secateur.errors import InputShapeMismatch, TrainingUnserved
from secateur.reports.report import Report
from secateur.reports.sensitivity import SensitivityReport
from secateur.specs.reading import Reading
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe
from tests.engine.pipeline.several import INPUTS, given, make_model, stored, trained

READING = Reading(scale={"left": "1/255", "right": "1/255"})


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return stored()


@pytest.fixture(scope="module")
def data_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "sides.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def model_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(arrays, tmp_path_factory.mktemp("model"))


def run(model: Path, data: Path, out: Path, reading: Reading = READING, **fields: Any) -> Report:
    recipe = Recipe.model_validate({"training": {"batch_size": 32}} | fields)
    compress(recipe, model=model, dataset=data, reading=reading, out=out, emit=lambda event: None)
    return Report.model_validate_json((out / "report.json").read_text())


def accuracy_of(file: Path, arrays: dict[str, np.ndarray]) -> float:
    """Of a ``.tflite`` file, each input given under its name."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(file)).get_signature_runner()
    inputs = dict(zip(INPUTS, given(arrays, "test"), strict=True))
    said = [
        runner(**{name: array[at : at + 1] for name, array in inputs.items()})["output_0"][0].argmax()
        for at in range(len(arrays["y_test"]))
    ]
    return float((np.array(said) == arrays["y_test"]).mean())


def test_weights_are_cut_trained_and_quantised(
    model_file: Path, data_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    steps = [
        {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 3}},
        {"kind": "finetune", "epochs": 2},
        {"kind": "quantize", "scheme": "int8", "calibration_samples": 64},
    ]

    report = run(model_file, data_file, tmp_path, steps=steps)

    assert report.baseline.quality.score.value > 0.9
    assert report.result.quality.score.value > 0.9
    assert report.result.quality.score.value == pytest.approx(accuracy_of(tmp_path / "model.tflite", arrays))
    assert report.delivered_sparsity is not None
    assert report.delivered_sparsity >= 0.5


def test_channels_go_and_what_reads_them_is_solved_again(
    model_file: Path, data_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    step = {"kind": "prune", "structure": "channel", "sparsity": 0.5, "schedule": {"kind": "one_shot"}}
    step |= {"reconstruct": True, "spare": [], "channel_multiple": 1}

    report = run(model_file, data_file, tmp_path, steps=[step])

    assert {group.name: group.after < group.before for group in report.groups}["see_left"]
    assert report.result.quality.score.value > 0.8
    assert report.result.quality.score.value == pytest.approx(accuracy_of(tmp_path / "model.tflite", arrays))


@pytest.mark.slow
def test_a_teacher_weights_of_classes_and_the_twin_of_tfmot_are_given_all_inputs(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    steps = [
        {"kind": "prune", "sparsity": 0.3, "toolkit": "tfmot", "schedule": {"kind": "constant", "epochs": 1}},
        {"kind": "finetune", "epochs": 1, "distill": {}},
    ]

    report = run(model_file, data_file, tmp_path, steps=steps, training={"batch_size": 32, "class_weight": "balanced"})

    assert any("distillation from the uploaded model" in note for note in report.notes)
    assert report.result.quality.score.value > 0.9


def test_columns_of_a_table_feed_the_inputs_that_are_declared_also_a_repair(
    model_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    columns: dict[str, list[Any]] = {"label": [], "split": []}
    for split in ("train", "test"):
        columns["label"] += arrays[f"y_{split}"].tolist()
        columns["split"] += [split] * len(arrays[f"y_{split}"])
        for name in INPUTS:
            for place, values in enumerate(arrays[f"x_{split}.{name}"].T):
                columns.setdefault(f"{name}_{place}", []).extend(values.tolist())
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "sides.csv").write_text("\n".join(lines) + "\n")
    inputs = {name: [column for column in columns if column.startswith(f"{name}_")] for name in sorted(INPUTS)}
    reading = Reading.model_validate({"inputs": inputs, "split": "split", "scale": {"left": "1/255", "right": "1/255"}})

    step = {"kind": "prune", "sparsity": 0.5, "criterion": "wanda", "schedule": {"kind": "one_shot"}}

    report = run(model_file, tmp_path / "sides.csv", tmp_path, reading, steps=[step])

    assert report.baseline.quality.score.value > 0.9
    assert report.result.quality.score.value > 0.85
    assert any("reconstructed" in note and "see_right" in note for note in report.notes)
    assert report.baseline.quality.num_samples == len(arrays["y_test"])


def test_the_sensitivity_of_every_layer_is_measured(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    recipe = SensitivityRecipe(sparsities=(0.5, 0.9), criterion="taylor")

    measure_sensitivity(
        recipe, model=model_file, dataset=data_file, reading=READING, out=tmp_path, emit=lambda event: None
    )

    report = SensitivityReport.model_validate_json((tmp_path / "report.json").read_text())
    assert set(report.curves.layers) == {"see_left", "see_right", "hidden"}
    assert report.curves.dense > 0.9


@pytest.mark.parametrize("scheme", ["none", "int8"])
def test_a_file_is_fed_by_name_whatever_order_litert_has(scheme: Any, arrays: dict[str, np.ndarray]) -> None:
    """``left`` and ``right`` have one shape: exchanged, they would run without an error."""
    model = make_model()
    inputs = Parts(INPUTS, tuple(given(arrays, "test")))[:16]
    order = [tensor.name for tensor in model.inputs]

    content = litert.convert(model, scheme, calibration=inputs)

    listed = [details["name"] for details in litert.Interpreter(model_content=content).get_input_details()]
    assert [name.removeprefix("serving_default_").removesuffix(":0") for name in listed] != order
    outputs = litert.Runner(content, order).predict([inputs[:8], inputs[8:]])
    assert np.allclose(outputs, predict(model, inputs), atol=0.02 if scheme == "int8" else 1e-5)
    exchanged = Parts(INPUTS, (inputs.named("left"), inputs.named("words"), inputs.named("right")))
    assert not np.allclose(litert.Runner(content, order).predict([exchanged]), outputs, atol=0.02)


def test_training_sees_what_measuring_sees_of_every_input() -> None:
    pixels, words = np.arange(40, dtype=np.uint8).reshape(10, 2, 2), np.arange(10, dtype=np.int64)[:, None]
    rows = Rows(scratch_file([words.tobytes()]), 0, words.shape, words.dtype)
    feeds = Feeds((Feed("1/255", (4,), "float32"), Feed("none", (1,), "int32")))
    samples = Parts(("pixels", "words"), (pixels, rows))

    shuffled = list(training_batches(feeds, samples, np.arange(10), order=SampleOrder(10, 4, seed=3)))
    ordered = list(ordered_batches(feeds, samples, np.arange(10), batch_size=4))

    fed = feeds(samples[:])
    for batches in (shuffled, ordered):
        for (image, counts), labels in batches:
            assert np.allclose(image.numpy(), fed.named("pixels")[labels.numpy()])
            assert (counts.numpy() == fed.named("words")[labels.numpy()]).all()
    assert sorted(np.concatenate([labels for _, labels in shuffled])) == list(range(10))
    assert [len(piece) for piece in feeds.batches(samples, 4)] == [4, 4, 2]


def test_one_input_that_was_scaled_otherwise_is_found_and_named(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """The advice keeps the scale of the input that was right."""
    report = run(
        model_file,
        data_file,
        tmp_path,
        reading=Reading(scale={"right": "1/255"}),
        steps=[{"kind": "quantize", "scheme": "none"}],
        on_chance_baseline="continue",
    )

    advice = json.loads(report.suggestions[0].partition("Set ")[2].partition(": accuracy")[0].join(("{", "}")))
    assert advice == {"data": {"scale": {"right": "1/255", "words": "none", "left": "1/255"}}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays: {name: array for name, array in arrays.items() if "left" not in name}, "for the input 'left'"),
        (lambda arrays: arrays | {"x_train.up": arrays["x_train.left"], "x_test.up": arrays["x_test.left"]}, "'up'"),
        (lambda arrays: arrays | {f"x_{s}.left": arrays[f"x_{s}.left"][:, :7] for s in ("train", "test")}, "'left'"),
    ],
    ids=["an input without array", "an array without input", "another shape"],
)
def test_what_does_not_fit_is_told_by_the_name_of_the_input(
    change: Any, told: str, model_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    data = tmp_path / "sides.npz"
    np.savez(data, **change(arrays))

    with pytest.raises(InputShapeMismatch, match=told):
        run(model_file, data, tmp_path, steps=[{"kind": "quantize"}])


def test_images_among_several_inputs_are_not_changed_at_random(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingUnserved, match="several inputs"):
        run(model_file, data_file, tmp_path, steps=[{"kind": "finetune", "epochs": 1}], training={"augment": True})
