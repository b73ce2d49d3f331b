"""Every format that tf_keras writes, for every network that differs between Keras 2 and 3."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.importers import load_model
from engine.inspection.inspect import inspect_model
from secateur.errors import ModelUnreadable, TranslationDisagrees
from tests.engine.importers.old_models import MODELS, K, listed, nudged, sequences, shaken


def saved(model: Any, folder: Path, ending: str) -> Path:
    if ending != "zip":
        model.save(folder / f"model.{ending}")
        return folder / f"model.{ending}"
    model.save(folder / "saved", save_format="tf")
    return Path(shutil.make_archive(str(folder / "model"), "zip", folder, "saved"))


@pytest.mark.parametrize(
    ("build", "ending"),
    [
        pytest.param(
            build,
            ending,
            id=f"{build.__name__}-{ending}",
            marks=[pytest.mark.slow] if (build, ending) == (sequences, "zip") else [],  # saved in ten seconds
        )
        for build in MODELS
        for ending in ("h5", "keras", "zip")
    ],
)
def test_a_model_of_keras_2_computes_what_it_did(build: Callable[[], Any], ending: str, tmp_path: Path) -> None:
    """The one promise behind reading old files; what is compared with is the file itself, run by its own Keras."""
    path = saved(shaken(build()), tmp_path, ending)

    summary = inspect_model(path)

    assert summary.format == {"h5": "hdf5", "keras": "keras", "zip": "savedmodel"}[ending]
    assert summary.source == f"Keras {K.__version__}"
    assert summary.compared is not None
    assert summary.compared.startswith("agrees with")


@pytest.mark.parametrize("family", ["MobileNetV3Small", pytest.param("EfficientNetV2B0", marks=pytest.mark.slow)])
def test_families_with_operators_and_normalisation_come_back(family: str, tmp_path: Path) -> None:
    """The benchmark holds all fourteen families in all formats; these two have the most of what differs."""
    original = nudged(
        getattr(K.applications, family)(weights=None, input_shape=(32, 32, 3), classes=3, classifier_activation=None)
    )
    original.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")

    model = load_model.load_model(tmp_path / "model.keras")

    expected = np.asarray(original(x, training=False))
    assert np.abs(np.asarray(model(x, training=False)) - expected).max() < 1e-5 * np.abs(expected).max()


def test_statistics_of_the_inputs_come_along(tmp_path: Path) -> None:
    """Normalization keeps them outside the weights that other layers list."""
    normalise = K.layers.Normalization()
    normalise.adapt(np.random.default_rng(0).normal(50, 9, (40, 3)))
    model = K.Sequential([K.Input((3,)), normalise, K.layers.Dense(2)])
    x = np.random.default_rng(1).normal(50, 9, (4, 3)).astype("float32")

    found = [load_model.load_model(saved(model, tmp_path, ending))(x) for ending in ("h5", "keras", "zip")]

    assert all(np.allclose(outputs, model(x), atol=1e-5) for outputs in found)


def test_a_savedmodel_may_lie_at_the_root_of_its_archive(tmp_path: Path) -> None:
    model = shaken(listed())
    model.save(tmp_path / "saved", save_format="tf")

    path = Path(shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "saved"))

    x = np.random.default_rng(0).normal(size=(2, 16)).astype("float32")
    assert np.allclose(load_model.load_model(path)(x), model(x), atol=1e-5)


class Own(K.Model):  # type: ignore[misc]
    """A model that is Python code, as many are written."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = K.layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_subclassed_savedmodel_is_told_what_it_is(tmp_path: Path) -> None:
    model = Own()
    model(np.zeros((1, 3), "float32"))

    with pytest.raises(ModelUnreadable, match="subclassed"):
        load_model.load_model(saved(model, tmp_path, "zip"))


def test_a_savedmodel_without_layers_is_told_what_it_is(tmp_path: Path) -> None:
    """model.export of Keras 3 writes one: a graph to serve, without the network."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.export(tmp_path / "saved", verbose=False)
    path = Path(shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "saved"))

    with pytest.raises(ModelUnreadable, match="Keras metadata"):
        load_model.load_model(path)


def test_a_difference_is_our_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A translation with a defect must end as an error of the service, never as a model that is a bit worse."""
    path = saved(shaken(MODELS[0]()), tmp_path, "h5")
    monkeypatch.setattr("engine.importers.rebuild.weights.OLD_SLOPE", 1.0)

    with pytest.raises(TranslationDisagrees) as caught:
        inspect_model(path)

    assert caught.value.blame == "service"
