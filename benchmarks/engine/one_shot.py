"""One-shot pruning of an MLP, no training, no labels: the plain cut against the repaired one. Prints JSON.

    python benchmarks/engine/one_shot.py --model MODEL --data DATA > benchmarks/results/one_shot.json

Weights go by their size, units by the Euclidean norm of their columns, the same share of every layer but the output.
The published numbers are for a network of the same shape (784-1000-1000-500-200-10, no biases); see docs/benchmarks.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array
from engine.evaluation.host import host
from engine.models.prunable import prunable_kernels
from engine.pruning.criterion import l2_norm, magnitude
from engine.pruning.masking import Masks
from engine.pruning.structure import UNITS, WEIGHTS, Keep
from engine.reconstruction.equations import Samples
from engine.reconstruction.reconstruct import reconstruct

SPARSITIES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
NUM_SAMPLES = 4096
BATCH = 512

STRUCTURES: Final[Mapping[str, tuple[Keep, Callable[[Array], Array]]]] = {
    "weights": (WEIGHTS.keep, magnitude),
    "units": (UNITS.keep, lambda weights: l2_norm(weights)[None]),
}


def accuracy(model: Any, x: Array, y: Array) -> float:
    """In percent."""
    return round(100 * float((model.predict(x, batch_size=1000, verbose=0).argmax(axis=1) == y).mean()), 2)


def copy_of(model: Any) -> Any:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def plain(model: Any, sparsity: float, structure: str) -> Any:
    """A copy, cut and left alone."""
    keep, score = STRUCTURES[structure]
    cut = copy_of(model)
    masks = Masks(prunable_kernels(cut))
    for name in masks.names:
        layout = masks.layout(name)
        matrix = layout.matrix(masks.weights(name))
        kept = keep(score(matrix), sparsity, np.ones_like(matrix, dtype=np.bool_))
        masks.set(name, layout.kernel(matrix * kept))
    return cut


def repaired(model: Any, sparsity: float, structure: str, samples: Samples) -> Any:
    """A copy, cut and solved again."""
    keep, score = STRUCTURES[structure]
    cut = copy_of(model)
    masks = Masks(prunable_kernels(cut))
    reconstruct(
        cut,
        model,
        masks,
        dict.fromkeys(masks.names, sparsity),
        samples,
        keep=keep,
        score=lambda name, weights: score(weights),
        zero_bias=structure == "units",
    )
    return cut


def main() -> None:
    """Measure everything in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--structures", choices=list(STRUCTURES), nargs="+", default=list(STRUCTURES))
    options = parser.parse_args()
    with np.load(options.data) as data:
        x_train, x_test = (
            (data[name].reshape(len(data[name]), -1) / 255).astype("f4") for name in ("x_train", "x_test")
        )
        y_test = data["y_test"]
    inputs = x_train[:NUM_SAMPLES]
    samples = Samples(lambda: (inputs[i : i + BATCH] for i in range(0, NUM_SAMPLES, BATCH)), NUM_SAMPLES, seed=0)
    dense = keras.saving.load_model(options.model, compile=False)
    results: dict[str, list[dict[str, float]]] = {structure: [] for structure in options.structures}
    for structure, rows in results.items():
        for sparsity in SPARSITIES:
            start, processor = time.monotonic(), time.process_time()
            ours = repaired(dense, sparsity, structure, samples)
            seconds, processor = time.monotonic() - start, time.process_time() - processor
            rows.append(
                {
                    "sparsity": sparsity,
                    "plain": accuracy(plain(dense, sparsity, structure), x_test, y_test),
                    "reconstructed": accuracy(ours, x_test, y_test),
                    "seconds": round(seconds, 1),
                    "processor_seconds": round(processor, 1),
                }
            )
            print(structure, rows[-1], file=sys.stderr, flush=True)
    print(json.dumps({"samples": NUM_SAMPLES, **results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
