"""Files of Keras 1, which nothing that is installed can write: made by hand from its format."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from engine.importers import load_model
from engine.inspection.inspect import inspect_model
from secateur.errors import ModelClassRefused
from tests.engine.importers.old_models import K

L = K.layers


def keras1_file(path: Path, config: Any, weights: dict[str, list[Any]], backend: str = "tensorflow") -> Path:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = "1.2.2", json.dumps(config)
        groups = file.create_group("model_weights")
        groups.attrs["backend"], groups.attrs["layer_names"] = backend, list(weights)
        for layer, arrays in weights.items():
            group = groups.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_{number}" for number in range(len(arrays))]
            for number, array in enumerate(arrays):
                group[f"{layer}_{number}"] = array
    path.write_bytes(buffer.getvalue())
    return path


def test_a_convolutional_network_is_read(tmp_path: Path) -> None:
    convolution = {"name": "conv", "nb_filter": 4, "nb_row": 3, "nb_col": 2, "border_mode": "same", "subsample": [2, 1]}
    convolution |= {"dim_ordering": "tf", "init": "glorot_uniform", "bias": True, "activation": "relu"}
    convolution |= {"batch_input_shape": [None, 6, 6, 2], "input_dtype": "float32", "W_regularizer": None}
    layers = [
        {"class_name": "Convolution2D", "config": convolution},
        {"class_name": "BatchNormalization", "config": {"name": "norm", "mode": 0, "axis": -1, "epsilon": 0.001}},
        {"class_name": "MaxPooling2D", "config": {"name": "pool", "pool_size": [2, 2], "border_mode": "valid"}},
        {"class_name": "Dropout", "config": {"name": "drop", "p": 0.5}},
        {"class_name": "Flatten", "config": {"name": "flat"}},
        {
            "class_name": "Dense",
            "config": {"name": "dense", "output_dim": 3, "input_dim": None, "activation": "hard_sigmoid"},
        },
    ]
    same = K.Sequential(
        [
            L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu", input_shape=(6, 6, 2)),
            *(L.BatchNormalization(), L.MaxPooling2D(), L.Flatten(), L.Dense(3, activation="hard_sigmoid")),
        ]
    )
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.1, 0.9, weight.shape) for weight in same.get_weights()]
    same.set_weights(arrays)
    weights = {"conv": arrays[:2], "norm": arrays[2:6], "dense": arrays[6:]}
    config = {"class_name": "Sequential", "config": layers}
    x = rng.normal(size=(3, 6, 6, 2)).astype("float32")

    path = keras1_file(tmp_path / "model.h5", config, weights)

    assert np.allclose(load_model.load_model(path)(x), same(x), atol=1e-5)
    compared = inspect_model(path).compared
    assert compared is not None
    assert compared.startswith("not compared")
    turned = weights | {"conv": [arrays[0][::-1, ::-1], arrays[1]]}
    theano = keras1_file(tmp_path / "theano.h5", config, turned, backend="theano")
    assert np.allclose(load_model.load_model(theano)(x), same(x), atol=1e-5)


@pytest.mark.parametrize(("kind", "order"), [("LSTM", (0, 2, 1, 3)), ("GRU", (0, 1, 2))])
def test_gates_that_were_stored_one_by_one_are_joined(kind: str, order: tuple[int, ...], tmp_path: Path) -> None:
    """Keras 1 kept twelve arrays for an LSTM, in another order of gates than the three of Keras 2."""
    extra = {"reset_after": False} if kind == "GRU" else {}
    same = K.Sequential([getattr(L, kind)(4, recurrent_activation="hard_sigmoid", input_shape=(5, 3), **extra)])
    rng = np.random.default_rng(0)
    same.set_weights([rng.normal(size=weight.shape) for weight in same.get_weights()])
    parts = [np.split(array, len(order), axis=-1) for array in same.get_weights()]
    arrays = [parts[place][gate] for gate in np.argsort(order) for place in range(3)]
    config = {"name": "cells", "output_dim": 4, "inner_activation": "hard_sigmoid", "activation": "tanh"}
    config |= {"batch_input_shape": [None, 5, 3], "consume_less": "cpu", "dropout_W": 0.0, "inner_init": "orthogonal"}
    x = rng.normal(size=(2, 5, 3)).astype("float32")

    path = keras1_file(
        tmp_path / "model.h5",
        {"class_name": "Sequential", "config": [{"class_name": kind, "config": config}]},
        {"cells": arrays},
    )

    assert np.allclose(load_model.load_model(path)(x), same(x), atol=1e-5)


def branches(mode: str) -> Any:
    def dense(name: str) -> Any:
        return {
            "class_name": "Dense",
            "name": name,
            "config": {"name": name, "output_dim": 2},
            "inbound_nodes": [[["x", 0, 0]]],
        }

    return {
        "class_name": "Model",
        "config": {
            "name": "two",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "name": "x",
                    "config": {"name": "x", "batch_input_shape": [None, 3]},
                    "inbound_nodes": [],
                },
                dense("a"),
                dense("b"),
                {
                    "class_name": "Merge",
                    "name": "merge",
                    "config": {"name": "merge", "mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": -1},
                    "inbound_nodes": [[["a", 0, 0], ["b", 0, 0]]],
                },
            ],
            "input_layers": [["x", 0, 0]],
            "output_layers": [["merge", 0, 0]],
        },
    }


@pytest.mark.parametrize(
    ("mode", "expected"), [("sum", [9.0, 9.0]), ("concat", [3.0, 3.0, 6.0, 6.0]), ("mul", [18.0, 18.0])]
)
def test_merge_becomes_the_layer_of_its_mode(mode: str, expected: list[float], tmp_path: Path) -> None:
    ones, zeros = np.ones((3, 2)), np.zeros(2)
    path = keras1_file(tmp_path / "model.h5", branches(mode), {"a": [ones, zeros], "b": [2 * ones, zeros]})

    assert np.array_equal(load_model.load_model(path)(np.ones((1, 3))), [expected])


def test_a_merge_by_a_function_is_refused_by_name(tmp_path: Path) -> None:
    config = branches("sum")
    config["config"]["layers"][3]["config"] |= {"mode": "lambda x: x", "mode_type": "lambda"}

    with pytest.raises(ModelClassRefused, match="'merge'"):
        load_model.load_model(keras1_file(tmp_path / "model.h5", config, {}))
