"""Convolutional networks cut at once, no training, no labels: with and without the repair. Prints JSON.

    python benchmarks/engine/reconstruction_cnn.py --model MODEL --data DATA --scale none --samples 768

All kernels that can be pruned but the first lose the same share of their weights, by size. Four columns: the plain cut;
BatchNorm re-estimated; solved again; both, and whether the engine would keep these statistics: if the network then
agrees at least as often with the dense one on training images that took no part. Accuracy is of the test images.
"""

import argparse
import json
import resource
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
from engine.pruning.criterion import magnitude
from engine.pruning.masking import Masks
from engine.pruning.structure import WEIGHTS
from engine.reconstruction.batchnorm import reestimate
from engine.reconstruction.equations import Samples
from engine.reconstruction.reconstruct import reconstruct

SPARSITIES = (0.5, 0.7, 0.8, 0.9)
BATCH = 128
NUM_STATISTICS, NUM_HELD_OUT = 30 * BATCH, 1000
SCALES: Final[Mapping[str, Callable[[Array], Array]]] = {
    "none": lambda x: x,
    "1/255": lambda x: x / 255,
    "-1..1": lambda x: x / 127.5 - 1,
}


def classes(model: Any, x: Array) -> Array:
    """What the model says."""
    return np.asarray(model.predict(x, batch_size=500, verbose=0).argmax(axis=1))


def copy_of(model: Any) -> tuple[Any, Masks]:
    """A copy with masks on it."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy, Masks(prunable_kernels(copy))


def batches(x: Array) -> list[Array]:
    """In pieces."""
    return [x[start : start + BATCH] for start in range(0, len(x), BATCH)]


def resident_mib() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def measure(
    dense: Any, sparsity: float, x_train: Array, num_samples: int, accuracy: Callable[[Any], float]
) -> dict[str, Any]:
    """One row of the table."""
    held_out = x_train[-NUM_HELD_OUT:]
    statistics = batches(x_train[:NUM_STATISTICS])
    ours, masks = copy_of(dense)
    before, start, processor = resident_mib(), time.monotonic(), time.process_time()
    samples = Samples(lambda: batches(x_train[:num_samples]), num_samples, seed=0)
    solved = reconstruct(ours, dense, masks, dict.fromkeys(masks.names[1:], sparsity), samples)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row = {"sparsity": sparsity, "delivered": round(float(masks.sparsity(masks.names[1:])), 4), "solved": len(solved)}
    row |= {"seconds": round(seconds, 1), "processor_seconds": round(processor, 1)}
    row |= {"mib_before": before, "peak_mib": peak, "reconstructed": accuracy(ours)}
    expected = classes(dense, held_out)
    before_agreement = float((classes(ours, held_out) == expected).mean())
    reestimate(ours, statistics)
    kept = float((classes(ours, held_out) == expected).mean()) >= before_agreement
    row |= {"reconstructed_batchnorm": accuracy(ours), "statistics_kept": kept}
    row["kept_if_better"] = row["reconstructed_batchnorm" if kept else "reconstructed"]
    plain, masks = copy_of(dense)
    for name in masks.names[1:]:
        matrix = magnitude(masks.layout(name).matrix(masks.weights(name)))
        kept_weights = WEIGHTS.keep(matrix, sparsity, np.ones_like(matrix, dtype=np.bool_))
        masks.set(name, masks.weights(name) * masks.layout(name).kernel(kept_weights))
    row["plain"] = accuracy(plain)
    reestimate(plain, statistics)
    return row | {"plain_batchnorm": accuracy(plain)}


def main() -> None:
    """Measure one network in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scale", choices=list(SCALES), default="none")
    parser.add_argument("--samples", type=int, default=768)
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES)
    options = parser.parse_args()
    with np.load(options.data) as data:
        x_train = np.concatenate([data["x_train"][:NUM_STATISTICS], data["x_train"][-NUM_HELD_OUT:]])
        x_train, x_test = (SCALES[options.scale](x.astype("f4")) for x in (x_train, data["x_test"]))
        y_test = data["y_test"].ravel()
    dense = keras.saving.load_model(options.model, compile=False)

    def accuracy(model: Any) -> float:
        return round(100 * float((classes(model, x_test) == y_test).mean()), 2)

    results = []
    for sparsity in options.sparsities:
        results.append(measure(dense, sparsity, x_train, options.samples, accuracy))
        print(results[-1], file=sys.stderr, flush=True)
    found = {"dense": accuracy(dense), "samples": options.samples, "results": results, "host": host().model_dump()}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
