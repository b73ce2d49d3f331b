"""Fourteen families of keras.applications, each written in five formats and read back. Prints JSON.

    python benchmarks/engine/model_formats.py > benchmarks/results/model_formats.json

Random weights, the smallest input that the family takes, one family at a time in a fresh process. Keras 3 writes
``.keras`` and ``.h5``; tf_keras writes ``.keras``, ``.h5`` and a SavedModel, which is zipped. What is read back is
compared with the model that wrote it on random inputs: the largest difference, relative to the largest output.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras
from families import SIZES, shake

from engine.bridge.twin import outputs_difference
from engine.evaluation.host import host
from engine.importers.load_model import load
from secateur.errors import SecateurError

WRITERS = {"keras": (keras, ("keras", "h5")), "tf_keras": (tf_keras, ("keras", "h5", "zip"))}


def written(model: Any, folder: Path, ending: str) -> Path:
    """The model's file; a SavedModel is zipped."""
    path = folder / f"model.{ending}"
    if ending == "zip":
        model.save(folder / "saved", save_format="tf")
        return Path(shutil.make_archive(str(folder / "model"), "zip", folder / "saved"))
    model.save(path)
    return path


def read_back(model: Any, ending: str, pixels: Any) -> dict[str, Any]:
    """How a file of this model comes back: the difference of its outputs, or why it does not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = written(model, Path(folder), ending)
        except Exception as fault:  # noqa: BLE001 - that a Keras cannot write its own model is a result
            return {"not_written": f"{type(fault).__name__}: {str(fault)[:200]}"}
        start = time.monotonic()
        try:
            found = load(path).model
        except SecateurError as refusal:
            return {"refused": refusal.detail}
        seconds = time.monotonic() - start
    expected, given = np.asarray(model(pixels, training=False)), np.asarray(found(pixels, training=False))
    return {"difference": outputs_difference([expected], [given]), "seconds": round(seconds, 1)}


def one(family: str) -> dict[str, Any]:
    """Every format of one family."""
    size, start = SIZES[family], time.monotonic()
    pixels = np.random.default_rng(0).uniform(0, 1, (2, size, size, 3)).astype(np.float32)
    formats = {}
    for name, (package, endings) in WRITERS.items():
        make = getattr(package.applications, family)
        model = make(weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)
        shake(model)
        for ending in endings:
            formats[f"{name} .{ending}"] = read_back(model, ending, pixels)
    return {"family": family, "input": size, "formats": formats, "seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=SIZES)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    families = []
    for family in SIZES:
        ran = subprocess.run([sys.executable, __file__, "--one", family], check=False, capture_output=True, text=True)
        last = ran.stdout.strip().splitlines()[-1:] if not ran.returncode else ran.stderr.strip().splitlines()[-1:]
        families.append(json.loads(last[0]) if not ran.returncode else {"family": family, "crashed": last})
        print(families[-1], file=sys.stderr)
    print(json.dumps({"results": families, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
