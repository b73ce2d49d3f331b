"""Models that Keras loads, and that no job could work on as they are: rebuilt, or refused by name."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from engine.importers.load_model import load
from engine.tfmot import gradual
from secateur.errors import ModelClassRefused, ModelUnreadable
from tests.engine.importers.test_formats import saved

L = keras.layers


def outputs(model: Any, x: Any) -> Any:
    return np.asarray(model.predict_on_batch(x))


def fixed_batch() -> Any:
    inputs = keras.Input(batch_shape=(4, 6, 3))
    inner = keras.Sequential([L.Input(batch_shape=(4, 6, 3)), L.Conv1D(5, 2, activation="relu")])
    return keras.Model(inputs, L.Dense(2)(L.Reshape((-1,))(inner(inputs))))


def adapted() -> Any:
    """LoRA in an embedding, a convolution, a wrapped dense layer, and beside a layer that has none."""
    inputs = keras.Input((6,))
    layers = [L.Embedding(9, 4), L.Conv1D(3, 2), L.Dense(3), L.Dense(2)]
    x = layers[1](layers[0](inputs))
    model = keras.Model(inputs, layers[3](L.Flatten()(L.TimeDistributed(layers[2])(x))))
    rng = np.random.default_rng(0)
    for layer in layers[:3]:
        layer.enable_lora(2)
        for variable in layer.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize("build", [fixed_batch, adapted])
def test_a_model_is_rebuilt_and_computes_the_same(build: Callable[[], Any], tmp_path: Path) -> None:
    """A batch of one at the baseline ended in a raw error; kernels that LoRA had frozen lost 25 points unrepaired."""
    original = build()
    original.compile("adam", "mse")
    original.save(tmp_path / "model.keras")
    x = np.arange(4 * np.prod(original.inputs[0].shape[1:])).reshape(4, *original.inputs[0].shape[1:]) % 9

    loaded = load(tmp_path / "model.keras")

    assert loaded.model.inputs[0].shape[0] is None
    np.testing.assert_allclose(outputs(loaded.model, x), outputs(original, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs(loaded.model, x[:1]), outputs(original, x)[:1], rtol=1e-4, atol=1e-5)
    assert not [w for w in loaded.model.weights if not w.trainable or "lora" in w.name]
    assert loaded.model.get_compile_config()
    assert loaded.notes


def quantised() -> Any:
    model = keras.Sequential([L.Input((4,)), L.Dense(3, name="narrow")])
    model.layers[0].quantize("int8")
    return model


def stateful() -> Any:
    inputs = keras.Input(batch_shape=(2, 5, 3))
    return keras.Model(inputs, L.Bidirectional(L.LSTM(2, stateful=True), name="memory")(inputs))


def mean_over_the_batch() -> Any:
    inputs = keras.Input(batch_shape=(4, 3))
    return keras.Model(inputs, L.Dense(2)(inputs - keras.ops.mean(inputs, axis=0, keepdims=True)))


def reshaped_by_number() -> Any:
    inputs = keras.Input(batch_shape=(4, 3, 2))
    return keras.Model(inputs, L.Dense(2)(keras.ops.reshape(inputs, (4, 6))))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        pytest.param(quantised, "'narrow'", id="quantised by Keras"),
        pytest.param(stateful, "is stateful", id="stateful"),
        pytest.param(mean_over_the_batch, "exactly 4 samples", id="samples depend on each other"),
        pytest.param(reshaped_by_number, "exactly 4 samples", id="batch size in a reshape"),
    ],
)
def test_a_model_without_a_standard_form_is_refused(build: Callable[[], Any], said: str, tmp_path: Path) -> None:
    build().save(tmp_path / "model.keras")

    with pytest.raises(ModelUnreadable, match=said) as refused:
        load(tmp_path / "model.keras")

    assert refused.value.suggestions


def test_classes_under_private_modules_are_resolved(tmp_path: Path) -> None:
    """Keras 3.0.0 and 3.0.1 recorded the module of each class's source file."""
    original = keras.Sequential([L.Input((4,)), L.Dense(3, "relu", kernel_regularizer="l2"), L.LeakyReLU(), L.Dense(2)])
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    original.compile(keras.optimizers.Adam(schedule), keras.losses.MeanSquaredError())
    original.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            old.writestr(name, json.dumps(privately(json.loads(content))) if name == "config.json" else content)

    loaded = load(tmp_path / "old.keras")

    assert outputs(loaded.model, np.ones((2, 4))).tolist() == outputs(original, np.ones((2, 4))).tolist()
    assert loaded.model.get_compile_config() == original.get_compile_config()


def privately(value: Any) -> Any:
    """A config with the module of each class's source file."""
    if isinstance(value, list):
        return [privately(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: privately(each) for key, each in value.items()}
    module, name = found.get("module"), found.get("class_name")
    if isinstance(module, str) and module.startswith("keras") and name != "function":
        public: Any = keras
        for part in module.split(".")[1:]:
            public = getattr(public, part)
        found |= {"module": getattr(public, str(name)).__module__, "registered_name": name}
    return found


@pytest.fixture(scope="module")
def wrapped() -> Any:
    a = tf_keras.Input((6, 6, 1))
    x = tf_keras.layers.Conv2D(4, 3, use_bias=False)(a)
    x = tf_keras.layers.BatchNormalization()(x)
    x = tf_keras.layers.Add()([x, tf_keras.layers.DepthwiseConv2D(3, padding="same")(x)])
    model = tf_keras.Model(a, tf_keras.layers.Dense(3)(tf_keras.layers.GlobalAveragePooling2D()(x)))
    toolkit = gradual._toolkit()
    found = toolkit.prune_low_magnitude(model, pruning_schedule=toolkit.ConstantSparsity(0.5, 0, frequency=1))
    found.compile("sgd", "mse")
    callback = toolkit.UpdatePruningStep()
    found.fit(np.ones((4, 6, 6, 1)), np.ones((4, 3)), epochs=2, verbose=0, callbacks=[callback])
    return found


def test_pruning_wrappers_are_removed_and_their_zeros_stay(wrapped: Any, tmp_path: Path) -> None:
    wrapped.save(tmp_path / "model.h5")
    x = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)

    loaded = load(tmp_path / "model.h5")

    np.testing.assert_allclose(outputs(loaded.model, x), wrapped.predict(x, verbose=0), atol=1e-6)
    assert [float((layer.kernel.numpy() == 0).mean()) for layer in loaded.model.layers if type(layer) is L.Conv2D] == [
        0.5
    ]
    assert "masks" in loaded.notes[0]


@pytest.mark.parametrize("ending", ["keras", "zip"])
def test_wrappers_in_other_formats_are_refused_with_the_way_out(wrapped: Any, ending: str, tmp_path: Path) -> None:
    path = saved(wrapped, tmp_path, ending)

    with pytest.raises(ModelClassRefused, match="PruneLowMagnitude") as refused:
        load(path)

    assert "strip_pruning" in refused.value.suggestions[0]
