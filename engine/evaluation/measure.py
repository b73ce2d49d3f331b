"""Measure exported files: quality on the test split, sizes, speed. Never the Keras model they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.data.feed import Feeding
from engine.data.rows import Samples
from engine.export import tflite_file
from engine.export.export import Export
from engine.export.timing import time_files
from engine.models.predict import BATCH, predict
from engine.objectives.objectives import AnyObjective, Objectives
from engine.parts import Inputs, Outputs, Parts, concatenated
from secateur.reports.report import Interval, Quality, Variant

AT_ONCE = 2 * BATCH
"""Samples made into inputs at a time, so that a split is never scaled as a whole."""


def outputs_of(model: Any, feed: Feeding, samples: Samples) -> Outputs:
    """Outputs of a Keras model for all stored samples, in order; inputs are made a few batches at a time."""
    return concatenated(predict(model, inputs) for inputs in feed.batches(samples, AT_ONCE))


def quality(aim: AnyObjective, labels: Outputs, outputs: Outputs, original: Outputs) -> Quality:
    """The metric of a file over a split.

    Args:
        outputs: of the file.
        original: what the original Keras model says of the same samples.
    """
    objective, ours = aim.head, aim.of(outputs)
    return Quality(
        metric=objective.metric,
        higher_is_better=objective.higher_is_better,
        score=objective.measured(aim.of(labels), ours),
        num_samples=len(labels),
        agreement=objective.agreement(aim.of(original), ours),
    )


def qualities(objective: AnyObjective, labels: Outputs, outputs: Outputs, original: Outputs) -> dict[str, Quality]:
    """The same for each output that has labels, of a model with several."""
    if not isinstance(objective, Objectives):
        return {}
    assert isinstance(labels, Parts)
    assert isinstance(outputs, Parts)
    assert isinstance(original, Parts)
    return {
        each.name: quality(each.objective, labels.named(each.name), outputs.named(each.name), original.named(each.name))
        for each in objective.outputs
        if each.weight is not None
    }


def outputs_of_file(exported: Export, feed: Feeding, samples: Samples) -> Outputs:
    """What an exported file says of stored samples, shape (n, units)."""
    return exported.runner.predict(feed.batches(samples, BATCH))


@dataclass(frozen=True)
class Baseline:
    """The original, exported and measured before anything was changed."""

    exported: Export
    quality: Quality
    outputs: Outputs
    """What the original Keras model says of the test split, shape (n, units)."""
    by_output: Mapping[str, Quality] = field(default_factory=dict)
    """The quality of each output that has labels, of a model with several."""


def variants(measured: Sequence[tuple[Export, Quality]], inputs: Inputs) -> tuple[tuple[Variant, ...], Interval]:
    """Every export with its quality and its latency, and how many times as fast the last one is as the first.

    Args:
        measured: the exports and their qualities.
        inputs: samples whose latency is measured, one at a time.
    """
    timings = time_files([exported.runner for exported, _ in measured], inputs)
    found = tuple(
        Variant(
            name=exported.name,
            scheme=exported.scheme,
            num_params=exported.num_params,
            num_nonzero_params=exported.num_nonzero_params,
            num_macs=exported.num_macs,
            sizes=exported.sizes,
            quality=found,
            latency=speed,
            weight_bytes=tflite_file.bytes_by_type(exported.runner.content),
            operations=tflite_file.operations(exported.runner.content),
        )
        for (exported, found), speed in zip(measured, timings.latencies(), strict=True)
    )
    return found, timings.speedup()
