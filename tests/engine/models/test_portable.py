"""Every layer that is accepted computes the same on every machine: with oneDNN, and without it as on an older CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.export import litert
from engine.models import portable
from tests.engine.pipeline.test_compress import compressed

L = keras.layers
FIRST: dict[str, Any] = {"data_format": "channels_first"}

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Conv1D": (lambda: L.Conv1D(4, 3, padding="causal", **FIRST), (3, 8)),
    "Conv2D": (lambda: L.Conv2D(4, 3, strides=(2, 1), padding="same", **FIRST), (3, 7, 8)),
    "Conv2D grouped": (lambda: L.Conv2D(4, 3, groups=2, dilation_rate=2, **FIRST), (4, 7, 8)),
    "Conv3D": (lambda: L.Conv3D(2, 2, **FIRST), (3, 3, 4, 4)),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(4, 3, strides=2, **FIRST), (3, 8)),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(2, 3, strides=2, padding="same", **FIRST), (3, 4, 5)),
    "Conv2DTranspose dilated, first": (lambda: L.Conv2DTranspose(2, 3, dilation_rate=2, **FIRST), (3, 4, 5)),
    "Conv1DTranspose dilated": (lambda: L.Conv1DTranspose(4, 3, dilation_rate=2), (8, 3)),
    "Conv2DTranspose dilated": (lambda: L.Conv2DTranspose(2, (4, 3), dilation_rate=(3, 1), padding="same"), (4, 5, 3)),
    "Conv3DTranspose dilated": (lambda: L.Conv3DTranspose(2, 2, dilation_rate=2, padding="same"), (3, 4, 3, 2)),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(3, strides=(2, 1), padding="same"), (7, 8, 3)),
    "DepthwiseConv2D first": (lambda: L.DepthwiseConv2D(3, strides=(1, 2), **FIRST), (3, 7, 8)),
    "SeparableConv2D": (lambda: L.SeparableConv2D(4, 3, strides=(1, 2)), (7, 8, 3)),
    "ConvLSTM2D": (lambda: L.ConvLSTM2D(2, 2, **FIRST), (2, 3, 4, 4)),
}
"""Those that TensorFlow computes on a CPU with oneDNN only, or nowhere without XLA, and their inputs."""


def computed(make: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs and gradients of a layer that is the same in every process."""
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape), make()])
    x = tf.constant(np.random.default_rng(1).normal(size=(2, *shape)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x) ** 3)
    gradients = tape.gradient(loss, [x, *(variable.value for variable in model.trainable_variables)])
    return model.predict(x, verbose=0), [np.asarray(gradient) for gradient in gradients]


def main(out: Path) -> None:
    """What a process computes with what this module puts in place, and with what TensorFlow has where it has that."""
    found = {}
    for way in ("native", "ours"):
        if way == "ours":
            portable.install()
        for name, (make, shape) in LAYERS.items():
            try:
                outputs, gradients = computed(make, shape)
            except Exception as fault:  # noqa: BLE001 - TensorFlow raises several kinds
                found[f"{way} {name}"] = type(fault).__name__
            else:
                found[f"{way} {name}"] = [array.ravel().tolist() for array in (outputs, *gradients)]
    out.write_text(json.dumps(found))


@pytest.fixture(scope="module")
def by_setting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What two processes computed: without oneDNN, and with it."""
    found = {}
    for setting in ("0", "1"):
        out = tmp_path_factory.mktemp("portable") / "found.json"
        command = [sys.executable, "-m", "tests.engine.models.test_portable", str(out)]
        subprocess.run(command, check=True, env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": setting})
        found[setting] = json.loads(out.read_text())
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_the_same_with_and_without_onednn(name: str, by_setting: dict[str, dict[str, Any]]) -> None:
    """A job must not depend on the CPU that it meets; and what Keras computes is what it has to be."""
    without, with_it = (by_setting[setting][f"ours {name}"] for setting in ("0", "1"))
    native = by_setting["1"][f"native {name}"]

    for ours, other, theirs in zip(without, with_it, native, strict=True):
        assert np.allclose(ours, other, atol=1e-4, rtol=1e-4)
        assert np.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_tensorflow_itself_still_needs_onednn_for_some_of_them(by_setting: dict[str, dict[str, Any]]) -> None:
    """When this fails, TensorFlow has learnt them, and ``engine.models.portable`` can lose a function."""
    refused = {name for name, (_, _) in LAYERS.items() if isinstance(by_setting["0"][f"native {name}"], str)}

    assert {"Conv1D", "Conv2D", "Conv2DTranspose", "Conv2DTranspose dilated", "DepthwiseConv2D"} <= refused


@pytest.mark.parametrize(
    "name",
    ["Conv2D", "Conv2DTranspose", "Conv2DTranspose dilated", "Conv3DTranspose dilated", "DepthwiseConv2D"],
)
def test_a_file_of_such_a_layer_computes_what_the_layer_does_and_holds_its_weights_as_they_are(name: str) -> None:
    """Zeros are counted in the file, by the number of weights of a kernel."""
    make, shape = LAYERS[name]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape), make()])
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype("f4")

    runner = litert.runner_of(model, litert.convert(model, "none", calibration=x))

    assert np.allclose(runner.predict([x]), np.asarray(model(x)), atol=1e-4)
    assert model.layers[0].kernel.shape.num_elements() in {array.size for _, array in runner.constants()}


def test_a_whole_job_prunes_repairs_and_quantises_such_layers(data_file: Path, tmp_path: Path) -> None:
    """From the upload's file to the report, whatever the machine: nothing on the way computes with TensorFlow alone."""
    inputs = keras.Input((8, 8))
    x = L.Reshape((1, 8, 8))(inputs)
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="first", **FIRST)(x)
    x = L.Permute((2, 3, 1))(x)
    x = L.DepthwiseConv2D(3, strides=(2, 1), name="strides")(x)
    x = L.Conv2DTranspose(6, 3, dilation_rate=2, name="dilated")(x)
    keras.Model(inputs, L.Dense(4, "softmax", name="classes")(L.Flatten()(x))).save(tmp_path / "m.keras")
    steps = [
        {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}},
        {"kind": "finetune", "epochs": 1},
        {"kind": "quantize", "scheme": "int8"},
    ]

    report, _ = compressed(tmp_path / "m.keras", data_file, tmp_path, steps=steps, on_chance_baseline="continue")

    assert {row.name: row.keras_sparsity for row in report.layers if row.pruned} == {
        "first": pytest.approx(0.5, abs=0.02),
        "dilated": pytest.approx(0.5, abs=0.01),
    }
    assert report.host.onednn is (os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1")


def test_the_functions_are_put_in_place_once() -> None:
    from keras.src.backend import nn

    before = nn.conv
    portable.install()

    assert nn.conv is before


if __name__ == "__main__":
    main(Path(sys.argv[1]))
