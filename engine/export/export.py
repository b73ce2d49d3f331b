"""Export a model: its two files, and what is known of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.export import litert
from engine.export.export_form import export_form, single_sample_form
from engine.export.float_ends import float_ends
from engine.export.sizes import measure_sizes
from engine.models.costs import num_macs
from engine.models.model import save_model
from engine.models.predict import predict
from engine.parts import Inputs, arrays_of
from engine.pruning.delivery import nonzero_params
from secateur.errors import ConversionFailed, ExportDisagrees
from secateur.reports.report import Sizes
from secateur.specs.spec import Scheme

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
    form, content, notes = converted(model, scheme, calibration)
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


def converted(model: Any, scheme: Scheme, calibration: Inputs) -> tuple[Any, bytes, list[str]]:
    """Convert a model in the form that LiteRT expresses, and run the file once as others will.

    Returns:
        The form, the file, and what differs between the model and the file, in words for the report.

    Raises:
        ConversionFailed: LiteRT cannot express the model, or a standard interpreter cannot run the file.
    """
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
    litert.check_opens(content, calibration[:1])
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
