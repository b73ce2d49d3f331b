"""Measure exported files: quality on the test split, sizes, speed. Never the Keras model they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.arrays import Array
from engine.costs import num_macs
from engine.data.rows import Stored
from engine.faults import samples_blamed
from engine.feed import Feed
from engine.measuring import litert
from engine.measuring.sizes import measure_sizes
from engine.model import save_model
from engine.objective import Objective
from engine.pruning.delivery import nonzero_params
from jobspec.errors import ExportDisagrees
from jobspec.report import Quality, Sizes, Variant
from jobspec.spec import Scheme

BATCH = 256
AT_ONCE = 2 * BATCH
"""Samples made into inputs at a time, so that a split is never scaled as a whole."""

AGREE = 1e-3
"""Largest difference, relative to the largest output, between a float32 file and its Keras model."""


@dataclass(frozen=True)
class Export:
    """A model as its two files, the ``.tflite`` one loaded."""

    name: Literal["baseline", "result"]
    scheme: Scheme
    runner: litert.Runner
    sizes: Sizes
    num_params: int
    num_nonzero_params: int
    num_macs: int


def export(name: Literal["baseline", "result"], model: Any, scheme: Scheme, folder: Path, calibration: Array) -> Export:
    """Write ``model.keras`` and ``model.tflite`` into a folder and load the latter.

    Raises:
        ConversionFailed: LiteRT cannot express the model.
    """
    keras_file, tflite_file = folder / "model.keras", folder / "model.tflite"
    save_model(model, keras_file)
    content = litert.convert(model, scheme, calibration=calibration)
    tflite_file.write_bytes(content)
    return Export(
        name,
        scheme,
        litert.Runner(content),
        measure_sizes(keras_file, tflite_file),
        model.count_params(),
        nonzero_params(model),
        num_macs(model),
    )


def check_same(exported: Export, model: Any, inputs: Array) -> None:
    """A float32 file computes what its Keras model computes.

    Raises:
        ExportDisagrees: it does not.
    """
    expected, actual = predict(model, inputs), exported.runner.predict([inputs])
    worst = float(np.abs(expected - actual).max())
    if not worst <= AGREE * max(1.0, float(np.abs(expected).max())):
        raise ExportDisagrees(f"The float32 .tflite file differs from its Keras model by up to {worst:.3g}.")


def predict(model: Any, inputs: Array) -> Array:
    """Outputs of a Keras model."""
    with samples_blamed():
        return np.asarray(model.predict(inputs, batch_size=BATCH, verbose=0))


def outputs_of(model: Any, feed: Feed, samples: Stored) -> Array:
    """Outputs of a Keras model for all stored samples, in order; inputs are made a few batches at a time."""
    return np.concatenate([predict(model, inputs) for inputs in feed.batches(samples, AT_ONCE)])


def quality(objective: Objective, labels: Array, outputs: Array, original: Array) -> Quality:
    """The metric of a file over a split.

    Args:
        outputs: of the file.
        original: what the original Keras model says of the same samples.
    """
    return Quality(
        metric=objective.metric,
        higher_is_better=objective.higher_is_better,
        score=objective.measured(labels, outputs),
        num_samples=len(labels),
        agreement=objective.agreement(original, outputs),
    )


def said(exported: Export, feed: Feed, samples: Stored) -> Array:
    """What an exported file says of stored samples, shape (n, units)."""
    return exported.runner.predict(feed.batches(samples, BATCH))


@dataclass(frozen=True)
class Baseline:
    """The original, exported and measured before anything was changed."""

    exported: Export
    quality: Quality
    outputs: Array
    """What the original Keras model says of the test split, shape (n, units)."""


def variants(measured: Sequence[tuple[Export, Quality]], inputs: Array) -> tuple[Variant, ...]:
    """Every export with its quality and its speed; latencies are taken in turn, on these inputs."""
    speeds = litert.latencies([exported.runner for exported, _ in measured], inputs)
    return tuple(
        Variant(
            name=exported.name,
            scheme=exported.scheme,
            num_params=exported.num_params,
            num_nonzero_params=exported.num_nonzero_params,
            num_macs=exported.num_macs,
            sizes=exported.sizes,
            quality=found,
            latency=speed,
        )
        for (exported, found), speed in zip(measured, speeds, strict=True)
    )
