"""HDF5 of old Keras: written here by tf_keras or by hand, read as data, held against what tf_keras computes."""

import importlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from engine.importers import load_model
from engine.inspection.inspect import inspect_model
from engine.models import model as models
from secateur.errors import ModelClassRefused, ModelUnreadable
from tests.badfiles import hdf5_file, old_dense
from tests.engine.importers.old_models import K, listed, sequences, shaken


def test_a_translated_model_survives_being_saved_by_keras_3(tmp_path: Path) -> None:
    """What was translated leaves as .keras; nothing in it may need us to be loaded."""
    shaken(sequences()).save(tmp_path / "old.h5")
    model = load_model.load_model(tmp_path / "old.h5")
    tokens = np.array([[1, 2, 3, 0, 0, 0], [8, 7, 6, 5, 4, 3]])

    models.save_model(model, tmp_path / "new.keras")

    again = load_model.load_model(tmp_path / "new.keras")
    assert np.allclose(again(tokens), model(tokens), atol=1e-6)


def test_loss_metrics_and_learning_rate_come_along(tmp_path: Path) -> None:
    """Fine-tuning starts from the optimiser that the model was trained with."""
    model = listed()
    model.compile(K.optimizers.Adam(0.004), "categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "model.h5")

    loaded = load_model.load_model(tmp_path / "model.h5")

    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.004)
    assert inspect_model(tmp_path / "model.h5").loss == "categorical_crossentropy"


def operators() -> Any:
    """Operations and a layer of one name, which Keras 3 itself cannot read back from HDF5."""
    a = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), keras.layers.BatchNormalization()])
    both = keras.layers.Multiply()([inner(a) * 2.0, keras.ops.relu(inner(a[:, ::-1]))])
    return keras.Model(a, keras.layers.Dense(2)(both))


def test_h5_of_keras_3_is_read_with_its_operations(tmp_path: Path) -> None:
    model = operators()
    model.save(tmp_path / "model.h5")
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")

    loaded = load_model.load_model(tmp_path / "model.h5")

    assert np.allclose(loaded(x), model(x), atol=1e-6)
    assert inspect_model(tmp_path / "model.h5").compared is None


def changed(change: Callable[[Any], None], tmp_path: Path) -> Path:
    """A file of one dense layer in which something was changed by hand."""
    buffer = io.BytesIO(hdf5_file())
    with h5py.File(buffer, "a") as file:
        change(file)
    path = tmp_path / "model.h5"
    path.write_bytes(buffer.getvalue())
    return path


def test_sequential_configs_that_are_a_list_are_read(tmp_path: Path) -> None:
    """Keras before 2.2.3 wrote them so."""

    def as_list(file: Any) -> None:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": old_dense()["config"]["layers"]})

    model = load_model.load_model(changed(as_list, tmp_path))

    assert model(np.ones((1, 3))).shape == (1, 2)


def test_groups_with_backslashes_are_found(tmp_path: Path) -> None:
    """Files written on Windows have them."""

    def on_windows(file: Any) -> None:
        group = file["model_weights/dense"]
        kernel = group["dense/kernel:0"][()] + 2
        del group["dense/kernel:0"]
        group["dense\\kernel:0"] = kernel

    model = load_model.load_model(changed(on_windows, tmp_path))

    assert np.array_equal(model(np.ones((1, 3))), [[7.0, 7.0]])


def _lose_a_bias(file: Any) -> None:
    file["model_weights/dense"].attrs["weight_names"] = ["dense/kernel:0"]


def _swap(file: Any) -> None:
    file["model_weights/dense"].attrs["weight_names"] = ["dense/bias:0", "dense/kernel:0"]


def _rename_the_layer(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = ["dense", "other"]
    file["model_weights"].create_group("other").attrs["weight_names"] = ["w:0"]
    file["model_weights/other"]["w:0"] = np.ones(3)


def _lose_all(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = []


@pytest.mark.parametrize("damage", [_lose_a_bias, _swap, _rename_the_layer, _lose_all], ids=lambda d: d.__name__)
def test_weights_that_do_not_fit_are_told_with_the_layer(damage: Callable[[Any], None], tmp_path: Path) -> None:
    """A weight that silently keeps its initial value would look like a bad model."""
    with pytest.raises(ModelUnreadable, match=r"dense|other"):
        load_model.load_model(changed(damage, tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"activation": "my_own"}, "my_own"),
        ({"quantum": 3}, "quantum"),
        ({"kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 1}, "module": "os"}}, "MaxNorm"),
        ({"units": 10**9}, "units"),
    ],
)
def test_settings_without_a_counterpart_are_refused_by_name(change: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(hdf5_file(old_dense(**change)))

    with pytest.raises((ModelClassRefused, ModelUnreadable), match=told):
        load_model.load_model(path)


def test_layers_of_applications_come_back_from_keras_3(tmp_path: Path) -> None:
    """Keras 3 leaves out of HDF5 in which module a class is."""
    scale = importlib.import_module("keras.src.applications.inception_resnet_v2").CustomScaleLayer(0.3)
    a = keras.Input((6,))
    model = keras.Model(a, scale([keras.layers.Dense(4)(a), keras.layers.Dense(4)(a)]))
    model.save(tmp_path / "model.h5")
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")

    assert np.allclose(load_model.load_model(tmp_path / "model.h5")(x), model(x))
