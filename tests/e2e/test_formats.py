"""Every format from its file to a compressed model, by the command ``python -m engine compress``."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from typer.testing import CliRunner

from engine.__main__ import app

pytestmark = pytest.mark.slow

MNIST = Path(__file__).parents[2] / "examples" / "mnist" / "mnist.npz"

Written = tuple[str, list[str]]
"""Name of the file, and what is declared of it."""


def network(path: Path, x: np.ndarray, y: np.ndarray, classes: int) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=30, batch_size=32, verbose=0)
    model.save(path)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network for 400 images of 0, 1 and 6, scaled by 1/255: 8x8 pixels, each the mean of nine of MNIST."""
    with np.load(MNIST) as mnist:
        chosen = np.flatnonzero(np.isin(mnist["y_train"], (0, 1, 6)))[:400]
        images, labels = mnist["x_train"][chosen], np.searchsorted((0, 1, 6), mnist["y_train"][chosen])
    x = images[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).astype(np.uint8)
    folder = tmp_path_factory.mktemp("digits")
    network(folder / "model.keras", x[..., None] / 255.0, labels, 3)
    return folder / "model.keras", x, labels


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network for 180 wines of three kinds, on 13 columns of mean 0 and deviation 1."""
    generator = np.random.default_rng(0)
    target = generator.permutation(np.repeat([0, 1, 2], 60))
    centers, noise = generator.normal(size=(3, 13)), generator.normal(scale=0.7, size=(180, 13))
    data = np.geomspace(0.4, 747, 13) * (1 + 0.2 * (centers[target] + noise))
    scale = {"mean": data.mean(axis=0).tolist(), "deviation": data.std(axis=0).tolist()}
    folder = tmp_path_factory.mktemp("wine")
    network(folder / "model.keras", (data - scale["mean"]) / scale["deviation"], target, 3)
    kinds = [["barolo", "grignolino", "barbera"][label] for label in target]
    return folder / "model.keras", [f"column_{at}" for at in range(13)], data, kinds, json.dumps(scale)


ORDER = ["--declare", "label=kind", "--declare", "classes=barolo,grignolino,barbera"]


def as_csv(folder: Path, names: list[str], data: np.ndarray, kinds: list[str]) -> Written:
    with (folder / "wine.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["kind", *names])
        rows.writerows([kind, *row] for kind, row in zip(kinds, data.tolist(), strict=True))
    return "wine.csv", ORDER


def as_parquet(folder: Path, names: list[str], data: np.ndarray, kinds: list[str]) -> Written:
    pq.write_table(
        pa.table({"kind": kinds} | {name: data[:, at] for at, name in enumerate(names)}), folder / "wine.parquet"
    )
    return "wine.parquet", ORDER


def as_images(folder: Path, x: np.ndarray, y: np.ndarray) -> Written:
    with zipfile.ZipFile(folder / "digits.zip", "w") as archive:
        for number, (image, label) in enumerate(zip(x, y, strict=True)):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            archive.writestr(f"{label}/{number}.png", buffer.getvalue())
    return "digits.zip", ["--declare", "color=grayscale"]


def as_records(folder: Path, x: np.ndarray, y: np.ndarray) -> Written:
    with tf.io.TFRecordWriter(str(folder / "digits.tfrecord")) as writer:
        for image, label in zip(x, y, strict=True):
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    features = {"image": {"encoding": "raw", "shape": [8, 8], "dtype": "uint8"}, "label": {"dtype": "int64"}}
    return "digits.tfrecord", ["--declare", f"features={json.dumps(features)}"]


def compressed(model: Path, data: Path, options: list[str], scale: str) -> dict[str, Any]:
    """The report of a run of the command."""
    spec = {"steps": [{"kind": "prune", "sparsity": 0.3, "schedule": {"kind": "one_shot"}}, {"kind": "quantize"}]}
    (data.parent / "spec.json").write_text(json.dumps(spec))
    files = ["--data", str(data), "--spec", str(data.parent / "spec.json"), "--out", str(data.parent / "out")]
    done = CliRunner().invoke(app, ["compress", str(model), *files, "--scale", scale, *options])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads((data.parent / "out" / "report.json").read_text())
    return report


@pytest.mark.parametrize("write", [as_images, as_records])
def test_a_network_is_compressed_on_images(digits: Any, write: Callable[..., Written], tmp_path: Path) -> None:
    model, x, y = digits
    name, options = write(tmp_path, x, y)

    report = compressed(model, tmp_path / name, options, "1/255")

    assert report["baseline"]["quality"]["score"]["value"] > 0.95
    assert report["result"]["quality"]["score"]["value"] > 0.9


@pytest.mark.parametrize("write", [as_csv, as_parquet])
def test_a_network_is_compressed_on_a_table(wine: Any, write: Callable[..., Written], tmp_path: Path) -> None:
    """Its columns have means from 0.4 to 747, so a wrong scale or order of columns would leave it guessing."""
    model, names, data, kinds, scale = wine
    name, options = write(tmp_path, names, data, kinds)

    report = compressed(model, tmp_path / name, options, scale)

    assert report["baseline"]["quality"]["score"]["value"] > 0.95
    assert report["result"]["quality"]["score"]["value"] > 0.9
