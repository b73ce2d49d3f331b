from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.masking import Masks
from engine.prunable import prunable_kernels
from engine.reconstruct import Samples, reconstruct, rows
from tests.engine.test_compress import run


def pair(model: Any) -> tuple[Any, Any, Masks]:
    dense = keras.models.clone_model(model)
    dense.set_weights(model.get_weights())
    return model, dense, Masks(prunable_kernels(model))


def samples(shape: tuple[int, ...], count: int = 600) -> Samples:
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype("f4")
    return Samples(lambda: [x[:250], x[250:]], count, seed=0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        pytest.param(lambda: keras.layers.Dense(3), (5,), id="dense"),
        pytest.param(lambda: keras.layers.Dense(3), (4, 5), id="dense over positions"),
        pytest.param(lambda: keras.layers.Conv1D(3, 4, strides=2), (9, 5), id="conv1d"),
        pytest.param(lambda: keras.layers.Conv1D(3, 3, padding="same", dilation_rate=2), (9, 5), id="conv1d dilated"),
        pytest.param(lambda: keras.layers.Conv2D(3, (3, 2), padding="same"), (7, 6, 2), id="conv2d"),
        pytest.param(lambda: keras.layers.Conv2D(3, 3, strides=2), (8, 8, 2), id="conv2d strided"),
    ],
)
def test_rows_times_the_flat_kernel_are_what_the_layer_computes(layer: Any, shape: tuple[int, ...]) -> None:
    """Patches in another order than the kernel's would solve for the wrong weights, and nobody would see why."""
    made = layer()
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype("f4")
    expected = np.asarray(made(x))

    computed = rows(made, x) @ np.asarray(made.kernel).reshape(-1, 3) + np.asarray(made.bias)

    assert np.allclose(computed, expected.reshape(-1, 3), atol=1e-5)


def residual_network() -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(inputs)
    branch = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="branch")(x)
    branch = keras.layers.BatchNormalization(name="norm")(branch)
    x = keras.layers.ReLU()(keras.layers.Add()([x, branch]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="out")(keras.layers.Dense(32, "relu", name="hidden")(x)))


def test_a_repaired_network_is_closer_to_the_dense_one_than_a_cut_one() -> None:
    """The same zeros, no labels, no training."""
    x = np.random.default_rng(9).normal(size=(400, 8, 8, 3)).astype("f4")
    repaired, dense, masks = pair(residual_network())
    plain, _, plain_masks = pair(residual_network())
    sparsity = dict.fromkeys(masks.names, 0.6)
    expected = dense.predict(x, verbose=0)

    solved = reconstruct(repaired, dense, masks, sparsity, samples((8, 8, 3)))
    for name in sparsity:
        weights = plain_masks.weights(name)
        plain_masks.set(name, np.where(np.abs(weights) >= np.quantile(np.abs(weights), 0.6), weights, 0))

    assert solved == ["stem", "branch", "hidden", "out"]
    assert masks.sparsity() == pytest.approx(0.6, abs=0.01)
    error, plain_error = (np.linalg.norm(m.predict(x, verbose=0) - expected) for m in (repaired, plain))
    assert error < 0.5 * plain_error


def test_the_bias_of_a_layer_is_solved_with_it() -> None:
    model, dense, masks = pair(residual_network())

    reconstruct(model, dense, masks, {"hidden": 0.5}, samples((8, 8, 3)))

    assert not np.allclose(model.get_layer("hidden").bias, dense.get_layer("hidden").bias)


def test_layers_that_cannot_be_solved_are_cut_all_the_same() -> None:
    """Called twice, or of a kind that is not known: fewer zeros than asked for would be the worse answer."""
    inputs = keras.Input((6,))
    twice = keras.layers.Dense(6, name="twice")
    model, dense, masks = pair(keras.Model(inputs, keras.layers.Dense(2, name="out")(twice(twice(inputs)))))

    solved = reconstruct(model, dense, masks, {"twice": 0.5}, samples((6,)))

    assert solved == ["out"]
    assert (masks.weights("twice") == 0).mean() == 0.5


def test_a_job_without_training_is_repaired_by_default_and_says_so(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    one_shot = {"kind": "prune", "sparsity": 0.97, "schedule": {"kind": "one_shot"}}

    repaired, _ = run(model_file, data_file, tmp_path, steps=[one_shot])
    plain, _ = run(model_file, data_file, tmp_path, steps=[{**one_shot, "reconstruct": False}])
    trained, _ = run(model_file, data_file, tmp_path, steps=[one_shot, {"kind": "finetune", "epochs": 1}])

    assert any("Solved again on 576 unlabelled inputs: conv, hidden, classes" in note for note in repaired.notes)
    assert repaired.result.quality.agreement > plain.result.quality.agreement
    assert not any("Solved" in note for report in (plain, trained) for note in report.notes)
    assert repaired.delivered_sparsity == pytest.approx(0.97, abs=0.001)
