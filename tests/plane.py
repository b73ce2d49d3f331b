"""Three blobs in the plane, and a network that has learned to tell them apart: the smallest honest job."""

import tempfile
from functools import cache
from pathlib import Path

import keras
import numpy as np


def trained_on_the_plane(folder: Path) -> tuple[Path, Path]:
    """The files of a model and of its data set. It is trained once in a process."""
    model_file, dataset = folder / "plane.keras", folder / "plane.npz"
    for file, content in zip((model_file, dataset), _contents(), strict=True):
        file.write_bytes(content)
    return model_file, dataset


@cache
def _contents() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        model_file, dataset = _trained(Path(folder))
        return model_file.read_bytes(), dataset.read_bytes()


def _trained(folder: Path) -> tuple[Path, Path]:
    model_file, dataset, rng = folder / "plane.keras", folder / "plane.npz", np.random.default_rng(0)
    y = np.arange(600) % 3
    x = (np.array([[0, 2], [2, -1], [-2, -1]])[y] + rng.normal(0, 1, (600, 2))).astype("float32")
    np.savez(dataset, x_train=x[:480], y_train=y[:480], x_test=x[480:], y_test=y[480:])
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(16, activation="relu", name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(3, activation="softmax", name="head")])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    model.fit(x[:480], y[:480], epochs=8, verbose=0)
    model.save(model_file)
    return model_file, dataset
