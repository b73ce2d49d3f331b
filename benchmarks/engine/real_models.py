"""Trained models of other people, read by us: agreement with a reference, and accuracy on the data they were made for.

    python benchmarks/engine/real_models.py --models MODELS --data DATA > benchmarks/results/real_models.json

MODELS is a folder of model files of any accepted format (a folder with saved_model.pb is zipped first); DATA holds the
test sets of MLPerf Tiny. The reference is the float LiteRT file that its makers put beside a model, run by
ai-edge-litert on random inputs, where REFERENCES names one; else what the check of an upload compares with.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from engine.bridge.twin import outputs_difference, random_inputs
from engine.evaluation.host import host
from engine.importers.load_model import load
from engine.inspection.compare import compared
from secateur.errors import SecateurError

REFERENCES = {
    "resnet8_cifar10": "resnet8_cifar10_float.tflite",
    "vww_mobilenetv1_96": "vww_96_float.tflite",
    "dscnn_kws_savedmodel": "dscnn_kws_float.tflite",
}
"""LiteRT files that claim to be conversions of a model; ``ad01_fp32.tflite`` is none of its autoencoder."""

INT8_ZERO, INT8_SCALE = 83, 0.5847029


@dataclass(frozen=True)
class Check:
    """Test data of a model, and how its samples become inputs."""

    data: str
    scale: Callable[[Any], Any]


CHECKS = {
    "resnet8_cifar10": Check("mlperf_tiny_ic01.npz", lambda x: x),
    "vww_mobilenetv1_96": Check("mlperf_tiny_vww01.npz", lambda x: x / 255.0),
    "dscnn_kws_savedmodel": Check("mlperf_tiny_kws01_int8.npz", lambda x: (x - INT8_ZERO) * INT8_SCALE),
}


def litert_outputs(path: Path, inputs: Any) -> Any:
    """What a LiteRT file computes, one sample at a time."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for sample in inputs:
        interpreter.set_tensor(given["index"], sample[None].astype(given["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(made["index"])[0])
    return np.array(outputs)


def against_litert(model: Any, path: Path) -> float:
    """Largest difference of outputs on random inputs, relative to the largest."""
    inputs = random_inputs(model, seed=0)[0]
    return outputs_difference([np.asarray(model(inputs, training=False))], [litert_outputs(path, inputs)])


def accuracy(predict: Callable[[Any], Any], check: Check, data: Path) -> float:
    """Per cent of the test samples that are classified rightly."""
    with np.load(data / check.data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    inputs = np.asarray(check.scale(x.astype(np.float32)), np.float32)
    right = [np.argmax(predict(inputs[at : at + 100]), axis=-1) == y[at : at + 100] for at in range(0, len(y), 100)]
    return round(100 * float(np.concatenate(right).mean()), 2)


def one(path: Path, data: Path) -> dict[str, Any]:
    """All that can be said of one file."""
    found: dict[str, Any] = {"file": path.name}
    try:
        loaded = load(path)
        found |= {"format": loaded.format, "written_by": loaded.version, "params": loaded.model.count_params()}
        found["check"] = compared(loaded, path)
    except SecateurError as refusal:
        return found | {"refused": refusal.detail}
    return found | _measured(path, loaded.model, data)


def _measured(path: Path, model: Any, data: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    reference = path.parent / REFERENCES.get(path.stem, "none")
    if reference.exists():
        found["difference_to_litert"] = against_litert(model, reference)
    check = CHECKS.get(path.stem)
    if check is not None:
        found["test_set"] = check.data
        found["accuracy"] = accuracy(lambda x: np.asarray(model(x, training=False)), check, data)
        if reference.exists():
            found["accuracy_of_litert_float"] = accuracy(lambda x: litert_outputs(reference, x), check, data)
    return found


def files(folder: Path, scratch: Path) -> list[Path]:
    """Model files anywhere under a folder, SavedModels as archives beside links to their references."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in (".keras", ".h5", ".hdf5")]
    for graph in sorted(folder.rglob("saved_model.pb")):
        saved = graph.parent
        found.append(Path(shutil.make_archive(str(scratch / saved.name), "zip", saved.parent, saved.name)))
        for reference in saved.parent.glob("*.tflite"):
            (scratch / reference.name).symlink_to(reference)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in files(options.models, Path(scratch)):
            results.append(one(path, options.data))
            print(results[-1], file=sys.stderr)
    print(json.dumps({"results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
