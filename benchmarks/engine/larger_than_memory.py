"""Training on more than memory holds: how much memory it takes, and what streaming costs.

    python benchmarks/engine/larger_than_memory.py --folder var/large > benchmarks/results/larger_than_memory.json

Writes an ``.npz`` of float32 images that are not packed, runs ``python -m engine compress`` on it for one epoch, and
tells the most memory that the process held (``ru_maxrss``). Then the same training, streamed and in memory, at a size
that fits: samples a second, in the same run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (96, 96, 3)
CLASSES = 4
RECIPE: dict[str, Any] = {
    "steps": [{"kind": "finetune", "epochs": 1}, {"kind": "quantize", "scheme": "float16"}],
    "on_chance_baseline": "continue",
    "training": {"batch_size": 128},
}


def images(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one of four bands brightened: something to learn."""
    y = rng.integers(0, CLASSES, count)
    x = rng.random((count, *SHAPE), np.float32)
    for row, label in enumerate(y):
        x[row, 24 * label : 24 * label + 24] += 0.25
    return x, y


def write(path: Path, count: int) -> None:
    """A data set of so many training samples and a tenth of it to test with, never more than 512 in memory."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for split, size in (("train", count), ("test", max(64, count // 40))):
            labels = []
            with archive.open(f"x_{split}.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (size, *SHAPE)}
                np.lib.format.write_array_header_2_0(member, header)
                for start in range(0, size, 512):
                    x, y = images(rng, min(512, size - start))
                    labels.append(y)
                    member.write(x.data)
            with archive.open(f"y_{split}.npy", "w") as member:
                np.lib.format.write_array(member, np.concatenate(labels))


def model_at(path: Path) -> None:
    """A small convolutional network."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)


def compress(model: Path, data: Path, out: Path) -> dict[str, Any]:
    """One run of the command, with what the kernel says of its memory."""
    spec = out.with_suffix(".json")
    spec.write_text(json.dumps(RECIPE))
    command = [sys.executable, "-m", "engine", "compress", str(model), "--data", str(data)]
    began = time.monotonic()
    child = subprocess.Popen([*command, "--spec", str(spec), "--out", str(out)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"compress failed with {child.returncode}")
    report = json.loads((out / "report.json").read_text())
    return {
        "data_bytes": data.stat().st_size,
        "peak_bytes": usage.ru_maxrss * 1024,
        "seconds": round(time.monotonic() - began, 1),
        "seconds_of_steps": {name: round(value, 1) for name, value in report["seconds"].items()},
        "accuracy": report["result"]["quality"]["score"]["value"],
    }


def speeds(model: Path, data: Path) -> dict[str, float]:
    """Samples a second of an epoch, streamed from the file and out of memory; the second of two epochs each."""
    import keras

    from engine.data.feed import Feed, training_batches
    from engine.data.order import SampleOrder
    from engine.data.read import read
    from engine.data.rows import Rows
    from secateur.specs.reading import Reading

    train = read(data, Reading()).splits["train"]
    assert isinstance(train.x, Rows)
    feed = Feed("none", SHAPE, "float32")
    found: dict[str, list[float]] = {"streamed": [], "in_memory": []}
    for _ in range(2):
        for name, x in (("streamed", train.x), ("in_memory", train.x[:])):
            network = keras.models.load_model(model)
            batches = training_batches(feed, x, train.y, order=SampleOrder(len(x), 128, seed=0))
            network.fit(batches.take(4), verbose=0)  # compiles
            began = time.monotonic()
            network.fit(batches, verbose=0)
            found[name].append(len(x) / (time.monotonic() - began))
    return {name: round(max(each), 1) for name, each in found.items()}


def main() -> None:
    """Run it and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--small-gigabytes", type=float, default=0.5)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sample_bytes = int(np.prod(SHAPE)) * 4
    model, data = options.folder / "model.keras", options.folder / "data.npz"
    model_at(model)
    try:
        write(data, int(options.gigabytes * 1e9) // sample_bytes)
        large = compress(model, data, options.folder / "large")
        write(data, int(options.small_gigabytes * 1e9) // sample_bytes)
        speed = speeds(model, data)
    finally:
        data.unlink(missing_ok=True)
    result = {"large": large, "samples_per_second": speed, "cores": os.cpu_count()}
    print(json.dumps(result | {"own_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}, indent=2))


if __name__ == "__main__":
    main()
