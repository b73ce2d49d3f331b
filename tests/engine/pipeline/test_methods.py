"""Whole jobs with every family of methods: the report must show what was asked, counted in the files."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from secateur.errors import NothingToReconstruct, ThresholdUnusable
from secateur.protocol.progress import StepAdvanced
from tests.engine.pipeline.test_compress import compressed

ONE_SHOT = {"kind": "one_shot"}


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        pytest.param({"criterion": "wanda", "sparsity": 0.6, "schedule": ONE_SHOT}, 0.6, id="wanda, repaired"),
        pytest.param(
            {"criterion": "taylor", "sparsity": 0.6, "distribution": "global", "reconstruct": False}
            | {"schedule": ONE_SHOT},
            0.6,
            id="taylor, global",
        ),
        pytest.param(
            {"structure": "unit", "criterion": "fpgm", "sparsity": 0.5, "schedule": ONE_SHOT}, 0.5, id="units, repaired"
        ),
        pytest.param(
            {"structure": "n_m", "skip_layers": ["conv"], "schedule": {"kind": "polynomial", "epochs": 1}},
            0.5,
            id="2:4 while training",
        ),
        pytest.param(
            {"structure": "block", "block_shape": [1, 16], "sparsity": 0.75, "skip_layers": ["conv"]}
            | {"schedule": {"kind": "constant", "epochs": 1}},
            0.75,
            id="blocks, constant",
        ),
        pytest.param(
            {
                "criterion": "snip",
                "sparsity": 0.7,
                "distribution": "erk",
                "schedule": {"kind": "iterative", "cycles": 2},
            },
            0.7,
            id="snip, in cycles",
        ),
    ],
)
def test_a_job_delivers_what_each_method_promises(
    choices: dict[str, Any], expected: float, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    report, _ = compressed(model_file, data_file, tmp_path, steps=[{"kind": "prune", **choices}])

    assert report.delivered_sparsity == pytest.approx(expected, abs=0.02)
    assert report.result.quality.score.value > 0.5, "four classes: chance is a quarter"
    model = keras.saving.load_model(tmp_path / "model.keras")
    hidden = np.asarray(model.get_layer("hidden").kernel) != 0
    match choices.get("structure"):
        case "unit":
            assert set(hidden.sum(axis=0)) == {0, len(hidden)}
        case "block":
            assert set(hidden.reshape(-1, 16, 32).sum(axis=1).ravel()) == {0, 16}
        case "n_m":
            assert (hidden.reshape(-1, 4, 32).sum(axis=1) == 2).all()


@pytest.mark.slow
def test_tfmot_prunes_in_a_whole_job_and_later_training_holds_its_zeros(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """By hand, one plain epoch after stripping brings every weight back."""
    prune = {"kind": "prune", "toolkit": "tfmot", "sparsity": 0.8, "schedule": {"kind": "polynomial", "epochs": 2}}

    report, _ = compressed(model_file, data_file, tmp_path, steps=[prune, {"kind": "finetune", "epochs": 1}])

    assert {layer.name: layer.keras_sparsity for layer in report.layers if layer.pruned} == {
        "conv": pytest.approx(0.8, abs=0.01),
        "hidden": pytest.approx(0.8, abs=0.001),
    }
    assert report.result.quality.score.value > 0.5
    assert any("TFMOT on a tf_keras twin" in note for note in report.notes)


def test_channels_go_in_cycles_after_zeros_and_before_int8_and_the_report_adds_up(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """What is said of a channel is what the files have: shapes, parameters, and what each group gave."""
    steps = [
        {"kind": "prune", "sparsity": 0.5, "schedule": ONE_SHOT},
        {"kind": "prune", "structure": "channel", "params": 0.5, "criterion": "taylor", "distribution": "global"}
        | {"schedule": {"kind": "iterative", "cycles": 2}, "channel_multiple": 2, "spare": []},
        {"kind": "quantize", "scheme": "int8"},
    ]

    report, _ = compressed(model_file, data_file, tmp_path, steps=steps)

    model, whole = (keras.saving.load_model(path) for path in (tmp_path / "model.keras", model_file))
    widths = {"conv": model.get_layer("conv").filters, "hidden": model.get_layer("hidden").units, "classes": 4}
    assert {group.name: group.after for group in report.groups} == widths
    assert {group.name: group.before for group in report.groups} == {"conv": 8, "hidden": 32, "classes": 4}
    assert 0.4 * whole.count_params() < model.count_params() <= 0.5 * whole.count_params()
    assert [(point.step, point.epoch) for point in report.history] == [("prune_2", 1), ("prune_2", 2)]
    assert report.delivered_sparsity == pytest.approx(report.target_sparsity, abs=0.005)
    assert report.result.quality.score.value > 0.5


def test_a_threshold_decides_each_layers_sparsity_and_the_report_says_which(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    before = np.asarray(keras.saving.load_model(model_file).get_layer("hidden").kernel)
    step = {"kind": "prune", "criterion": "std_threshold", "quality": 0.9, "schedule": ONE_SHOT, "reconstruct": False}

    report, _ = compressed(model_file, data_file, tmp_path, steps=[step])

    hidden = next(layer for layer in report.layers if layer.name == "hidden")
    assert hidden.target == pytest.approx(np.mean(np.abs(before) < 0.9 * before.std()))
    assert hidden.keras_sparsity == pytest.approx(hidden.target, abs=0.001)


def test_measured_sensitivity_is_kept_for_the_next_job_and_the_sparsity_adds_up(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    step = {"kind": "prune", "sparsity": 0.8, "distribution": "sensitivity", "schedule": ONE_SHOT, "reconstruct": False}

    report, _ = compressed(model_file, data_file, tmp_path, steps=[step])

    curves = json.loads((tmp_path / "sensitivity.json").read_text())
    assert set(curves["layers"]) == {"conv", "hidden"}
    assert report.delivered_sparsity == pytest.approx(0.8, abs=0.005)


def test_a_repair_that_no_layer_can_have_is_refused_before_anything_is_cut(
    data_file: Path, tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Not an answer an hour later: the layers are named, and what to write instead."""
    inputs = keras.Input((8, 8))
    x = keras.layers.Dense(8, name="kept")(inputs)
    x = keras.layers.Conv1D(8, 3, data_format="channels_first", padding="same", name="first")(x)
    model = keras.Model(inputs, keras.layers.Dense(4, "softmax", name="classes")(keras.layers.Flatten()(x)))
    model.save(tmp_path / "m.keras")
    step = {"kind": "prune", "sparsity": 0.5, "schedule": ONE_SHOT, "reconstruct": True, "skip_layers": ["kept"]}

    with pytest.raises(NothingToReconstruct, match="first") as caught:
        compressed(tmp_path / "m.keras", data_file, tmp_path, steps=[step], on_chance_baseline="continue")

    assert caught.value.errors[0].field == "steps.0.reconstruct"


def test_a_repair_tells_how_far_it_is(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    """Solving a large network takes minutes, and a user must see them pass."""
    _, events = compressed(
        model_file, data_file, tmp_path, steps=[{"kind": "prune", "sparsity": 0.5, "schedule": ONE_SHOT}]
    )

    shares = [event.progress for event in events if isinstance(event, StepAdvanced) and event.step == "prune"]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("threshold", [1e-9, 1e9])
def test_a_threshold_that_cuts_nothing_or_everything_is_refused_with_the_sizes_there_are(
    threshold: float, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    step = {"kind": "prune", "criterion": "threshold", "threshold": threshold, "schedule": ONE_SHOT}

    with pytest.raises(ThresholdUnusable, match=r"hidden: .* standard deviation") as caught:
        compressed(model_file, data_file, tmp_path, steps=[step])

    assert caught.value.errors[0].field == "steps.0.threshold"


def test_a_later_and_smaller_step_does_not_hide_what_an_earlier_one_was_asked_for(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    first, second = ({"kind": "prune", "sparsity": s, "schedule": ONE_SHOT, "reconstruct": False} for s in (0.8, 0.3))

    report, _ = compressed(model_file, data_file, tmp_path, steps=[first, second])

    assert report.target_sparsity == pytest.approx(0.8)
    assert report.delivered_sparsity == pytest.approx(0.8, abs=0.005)
