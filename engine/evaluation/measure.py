"""Measure exported files: quality on the test split, sizes, speed. Never the Keras model they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.data.feed import Feeding
from engine.data.rows import Samples
from engine.evaluation import litert, tflite_file
from engine.evaluation.export_form import export_form, single_sample_form
from engine.evaluation.float_ends import float_ends
from engine.evaluation.sizes import measure_sizes
from engine.faults import samples_blamed
from engine.models.costs import num_macs
from engine.models.model import save_model
from engine.objectives.objectives import Aim, Objectives
from engine.parts import Inputs, Outputs, Parts, arrays_of, behind_one_another, given, said_by
from engine.pruning.delivery import nonzero_params
from secateur.errors import ConversionFailed, ExportDisagrees
from secateur.reports.report import Quality, Sizes, Variant
from secateur.specs.spec import Scheme

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
    notes: tuple[str, ...] = ()
    """What differs between the model and the file, in words for the report."""


def export(
    name: Literal["baseline", "result"], model: Any, scheme: Scheme, folder: Path, calibration: Inputs
) -> Export:
    """Write ``model.keras`` and ``model.tflite`` into a folder and load the latter.

    Raises:
        ConversionFailed: LiteRT cannot express the model.
    """
    keras_file, tflite_path = folder / "model.keras", folder / "model.tflite"
    save_model(model, keras_file)
    form, content, notes = _converted(model, scheme, calibration)
    litert.check_opens(content, calibration[:1])
    tflite_path.write_bytes(content)
    return Export(
        name,
        scheme,
        litert.runner_of(form, content),
        measure_sizes(keras_file, tflite_path),
        model.count_params(),
        nonzero_params(model),
        num_macs(form),
        tuple(notes),
    )


def _converted(model: Any, scheme: Scheme, calibration: Inputs) -> tuple[Any, bytes, list[str]]:
    """The form of a model that LiteRT expresses, the file, and what was decided on the way."""
    shapes = [array.shape[1:] for array in arrays_of(calibration)]
    form = export_form(model, scheme, shapes)
    try:
        content, notes = _with_float_ends(form.model, scheme, calibration)
    except ConversionFailed as failed:
        if form.model is not model:
            raise
        form = single_sample_form(model, shapes)
        try:
            content, notes = _with_float_ends(form.model, scheme, calibration)
        except ConversionFailed:
            raise failed from None
    return form.model, content, [*form.notes, *notes]


def _with_float_ends(model: Any, scheme: Scheme, calibration: Inputs) -> tuple[bytes, tuple[str, ...]]:
    """Convert; int8 leaves those operations at both ends in float32 whose columns it would lose."""
    if scheme != "int8":
        return litert.convert(model, scheme, calibration=calibration), ()
    plain = litert.convert(model, "none", calibration=calibration)
    outputs = arrays_of(litert.runner_of(model, plain).predict([calibration]))
    ends = float_ends(plain, arrays_of(calibration), outputs)
    content = litert.convert(model, scheme, calibration=calibration, float_tensors=ends.tensors)
    return content, (*ends.notes, *ends.suggestions)


def check_same(exported: Export, model: Any, inputs: Inputs) -> None:
    """A float32 file computes what its Keras model computes.

    Raises:
        ExportDisagrees: it does not.
    """
    expected, actual = predict(model, inputs), exported.runner.predict([inputs])
    for ours, theirs in zip(arrays_of(expected), arrays_of(actual), strict=True):
        worst = float(np.abs(ours - theirs).max())
        if not worst <= AGREE * max(1.0, float(np.abs(ours).max())):
            raise ExportDisagrees(f"The float32 .tflite file differs from its Keras model by up to {worst:.3g}.")


def predict(model: Any, inputs: Inputs) -> Outputs:
    """Outputs of a Keras model."""
    with samples_blamed():
        return said_by(model, model.predict(given(inputs), batch_size=BATCH, verbose=0))


def outputs_of(model: Any, feed: Feeding, samples: Samples) -> Outputs:
    """Outputs of a Keras model for all stored samples, in order; inputs are made a few batches at a time."""
    return behind_one_another(predict(model, inputs) for inputs in feed.batches(samples, AT_ONCE))


def quality(aim: Aim, labels: Outputs, outputs: Outputs, original: Outputs) -> Quality:
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


def qualities(objective: Aim, labels: Outputs, outputs: Outputs, original: Outputs) -> dict[str, Quality]:
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


def variants(measured: Sequence[tuple[Export, Quality]], inputs: Inputs) -> tuple[Variant, ...]:
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
            weight_bytes=tflite_file.bytes_by_type(exported.runner.content),
            operations=tflite_file.operations(exported.runner.content),
        )
        for (exported, found), speed in zip(measured, speeds, strict=True)
    )
