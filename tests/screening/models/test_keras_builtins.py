"""The list of classes that may be loaded, held against the Keras that is installed and the models it writes."""

import importlib
import inspect
import io
import json
from collections.abc import Iterator
from typing import Any

import keras
import pytest
from keras.src.saving.keras_saveable import KerasSaveable

from screening import screen
from screening.models.keras_builtins import builtins
from screening.models.keras_config import check

APPLICATIONS = ["MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "ConvNeXtTiny"]
NOT_IN_MODELS = {"Operation", "Variable", "Function", "InputSpec", "KerasTensor"}


def config_of(model: Any) -> Any:
    return json.loads(keras.src.saving.saving_lib._serialize_model_as_json(model)[0])


def saved(model: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    keras.src.saving.saving_lib._save_model_to_fileobj(model, buffer, "h5")
    return buffer


def public_classes(module: str) -> Iterator[str]:
    for name, found in vars(importlib.import_module(module)).items():
        if inspect.isclass(found) and issubclass(found, KerasSaveable) and name not in NOT_IN_MODELS:
            yield name


@pytest.mark.parametrize("module", ["keras.layers", "keras.optimizers", "keras.losses", "keras.metrics"])
def test_every_class_of_keras_is_either_known_or_refused_by_name(module: str) -> None:
    """An upgrade of Keras adds layers: someone must decide whether each of them is safe to load."""
    undecided = [
        name
        for name in public_classes(module)
        if not builtins().has_class(module, name) and name not in builtins().refused_layers
    ]

    assert undecided == []


def test_every_known_class_exists_in_keras() -> None:
    """A name that Keras lacks is one that somebody else could register."""
    unknown = [
        f"{module}.{name}"
        for module, names in builtins().classes.items()
        for name in names
        if not inspect.isclass(getattr(importlib.import_module(module), name, None))
    ]

    assert unknown == []


def test_layers_that_run_code_or_read_files_are_not_known() -> None:
    """The two halves of the data file must never overlap."""
    known = {name for names in builtins().classes.values() for name in names}

    assert not known & set(builtins().refused_layers)
    assert {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"} <= set(builtins().refused_layers)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_published_architectures_are_accepted(name: str) -> None:
    """What people fine-tune and upload most."""
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)

    check(config_of(model), num_weight_bytes=4 * model.count_params())


def branches() -> Any:
    """A functional model with shared and wrapped layers, a nested model, operations, and regularisers."""
    shared = keras.layers.Dense(8, activation="gelu", kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2))
    inner = keras.Sequential([keras.Input((8,)), shared, keras.layers.LayerNormalization()], name="inner")
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    both = keras.ops.concatenate([inner(a), keras.ops.relu(inner(b)) * 2.0], axis=-1)
    heads = keras.layers.MultiHeadAttention(2, 4)(both[:, None, :], both[:, None, :])
    drop = keras.layers.Dropout(0.2, seed=1)(keras.layers.Flatten()(heads))
    model = keras.Model([a, b], keras.layers.Dense(3, kernel_constraint="non_neg")(drop), name="branches")
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.01, 100)),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(2), keras.metrics.F1Score()],
    )
    return model


def words() -> Any:
    """Recurrent, wrapped, and with a vocabulary that contains words which look like paths."""
    lookup = keras.layers.StringLookup(vocabulary=["cat", "/etc/passwd", "http://a", ".."])
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="string"),
            lookup,
            keras.layers.Embedding(6, 4),
            keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)),
            keras.layers.TimeDistributed(keras.layers.Dense(2, activation=keras.activations.silu)),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    model.compile("rmsprop", keras.losses.mean_squared_error, metrics=[keras.metrics.mean_absolute_error])
    return model


def pixels() -> Any:
    """Preprocessing inside the model, mixed precision, separable convolutions, advanced activations."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 1.0, 1.0]),
            keras.layers.SeparableConv2D(4, 3, dtype="mixed_float16"),
            keras.layers.BatchNormalization(synchronized=False),
            keras.layers.LeakyReLU(negative_slope=0.1),
            keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3)),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(2, kernel_initializer=keras.initializers.VarianceScaling(2.0)),
        ]
    )


@pytest.mark.parametrize("build", [branches, words, pixels], ids=lambda build: build.__name__)
def test_models_of_built_in_parts_are_accepted(build: Any) -> None:
    """The list must let through what Keras really writes, in all its spellings."""
    file = saved(build())

    assert screen("model", "model.keras", file) == "keras"


def test_a_refusal_names_the_layer_and_the_class() -> None:
    """The user sees a model of a hundred layers and must know which one to change."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(keras.ops.abs, name="absolute")])

    with pytest.raises(Exception, match=r"'absolute' uses Lambda.*Python code"):
        check(config_of(model), num_weight_bytes=1_000)
