"""One-shot pruning of an MLP without retraining: plain magnitude against staged reconstruction. Prints JSON.

    python benchmarks/one_shot.py --model MODEL.keras --data MNIST.npz > benchmarks/results/one_shot.json

The published numbers are for a network of the same shape (784-1000-1000-500-200-10, no biases); see docs/benchmarks.md.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from engine.criterion import magnitude
from engine.distribution import uniform
from engine.host import host
from engine.masking import Masks, Method
from engine.prunable import prunable_kernels
from engine.reconstruct import Samples, reconstruct

SPARSITIES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
NUM_SAMPLES = 4096
BATCH = 512


def accuracy(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """In percent."""
    return round(100 * float((model.predict(x, batch_size=1000, verbose=0).argmax(axis=1) == y).mean()), 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.data) as data:
        x_train, x_test = (
            (data[name].reshape(len(data[name]), -1) / 255).astype("f4") for name in ("x_train", "x_test")
        )
        y_test = data["y_test"]
    inputs = x_train[:NUM_SAMPLES]
    samples = Samples(lambda: (inputs[i : i + BATCH] for i in range(0, NUM_SAMPLES, BATCH)), NUM_SAMPLES, seed=0)
    dense = keras.saving.load_model(options.model, compile=False)
    results = []
    for sparsity in SPARSITIES:
        plain, repaired = (keras.models.clone_model(dense) for _ in range(2))
        for model in (plain, repaired):
            model.set_weights(dense.get_weights())
        masks = Masks(prunable_kernels(plain))
        masks.cut(sparsity, Method(magnitude, uniform, masks.names))
        start = time.monotonic()
        masks = Masks(prunable_kernels(repaired))
        reconstruct(repaired, dense, masks, dict.fromkeys(masks.names, sparsity), samples)
        results.append(
            {
                "sparsity": sparsity,
                "plain": accuracy(plain, x_test, y_test),
                "reconstructed": accuracy(repaired, x_test, y_test),
                "seconds": round(time.monotonic() - start, 1),
            }
        )
    print(json.dumps({"samples": NUM_SAMPLES, "results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
