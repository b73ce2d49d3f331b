"""Three ways to solve many units, each on its own support, in one run. Prints JSON.

    python benchmarks/engine/solvers.py > benchmarks/results/solvers.json

``one_by_one`` factorises each unit's own matrix with NumPy; ``factorised`` does it in batches with TensorFlow, padded
with rows of the identity; ``conjugate_gradients`` is what the engine does. Seconds for 256 units with 1,000 inputs
that correlate as activations behind a ReLU do, and the largest difference from ``one_by_one``.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import tensorflow as tf

from engine.arrays import Array, Mask
from engine.evaluation.host import host
from engine.reconstruction.solve import NormalEquations, solve

NUM_INPUTS, NUM_UNITS, CHUNK = 1000, 256, 32


def one_by_one(equations: NormalEquations, support: Mask, start: Array) -> Array:
    weights = np.zeros_like(equations.cross)
    for unit in range(support.shape[2]):
        kept = np.flatnonzero(support[0, :, unit])
        gram, cross = equations.gram[0][np.ix_(kept, kept)], equations.cross[0, kept, unit]
        weights[0, kept, unit] = np.linalg.solve(gram, cross)
    return weights


def factorised(equations: NormalEquations, support: Mask, start: Array) -> Array:
    found = []
    for first in range(0, support.shape[2], CHUNK):
        kept = support[0, :, first : first + CHUNK].T
        most = int(kept.sum(axis=1).max())
        order = np.argsort(~kept, axis=1, kind="stable")[:, :most]
        inside = np.take_along_axis(kept, order, axis=1)
        gram = equations.gram[0][order[:, :, None], order[:, None, :]]
        gram = np.where(inside[:, :, None] & inside[:, None, :], gram, np.eye(most))
        cross = np.take_along_axis(equations.cross[0].T[first : first + CHUNK], order, axis=1) * inside
        values = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), cross[:, :, None]).numpy()[:, :, 0]
        weights = np.zeros(kept.shape)
        np.put_along_axis(weights, order, values, axis=1)
        found.append(weights)
    return np.concatenate(found).T[None]


WAYS: Final[Mapping[str, Callable[[NormalEquations, Mask, Array], Array]]] = {
    "one_by_one": one_by_one,
    "factorised": factorised,
    "conjugate_gradients": solve,
}


def main() -> None:
    """Compare at three shares of kept weights."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(4096, 60)) @ rng.normal(size=(60, NUM_INPUTS)) / 8 + rng.normal(size=(4096, NUM_INPUTS))
    inputs = np.maximum(hidden, 0)[None]
    dense = rng.normal(size=(1, NUM_INPUTS, NUM_UNITS)) / 30
    equations = NormalEquations.empty(1, NUM_INPUTS, NUM_UNITS)
    equations.add(inputs, inputs @ dense)
    equations = equations.towards(dense)
    results = []
    for kept in (0.75, 0.5, 0.1):
        support = rng.random(dense.shape) < kept
        exact = one_by_one(equations, support, dense)
        row: dict[str, object] = {"kept": kept}
        for name, way in WAYS.items():
            start = time.monotonic()
            weights = way(equations, support, dense)
            seconds = time.monotonic() - start
            row[name] = {"seconds": round(seconds, 2), "difference": float(np.abs(weights - exact).max())}
        results.append(row)
    print(json.dumps({"results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
