"""Run and convert a model once, when it is uploaded: a job must not fail for it an hour later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from engine.bridge.twin import random_inputs
from engine.export import litert, tflite_file
from engine.export.export_form import MAX_UNROLLED_STEPS, export_form, recurrent_layers, single_sample_form
from engine.models.predict import predict
from engine.parts import Inputs, arrays_of, by_output
from secateur.errors import ConversionFailed, ModelUnreadable, SecateurError

SIZES: Final = (32, 96, 224)
"""Tried for axes that a model leaves open, smallest first."""


@dataclass(frozen=True)
class TrialRun:
    """What running and converting a model once has shown.

    Attributes:
        operations: how often each LiteRT operation stands in the float32 file; empty if there is none.
        not_convertible: why no file can be made, by scheme; ``none`` stands for float32, which every job exports.
        notes: what differs between the model and its file, and what a user should know.
    """

    operations: Mapping[str, int] = field(default_factory=dict)
    not_convertible: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def trial_run(model: Any) -> TrialRun:
    """Run a model on random inputs of a sample, and convert it to float32.

    Raises:
        ModelUnreadable: its shapes are all known, and it cannot be run.
    """
    inputs = _ran(model)
    if inputs is None:
        return TrialRun(notes=("The model was not tried: no size that was tried for its open axes works.",))
    notes = []
    if not all(np.isfinite(each).all() for each in arrays_of(predict(model, inputs))):
        notes.append("On random inputs the outputs are not finite.")
    refused = {}
    if steps := _too_many_steps(model, inputs):
        refused["int8"] = f"it would unroll {steps} time steps, and {MAX_UNROLLED_STEPS} is the most"
    try:
        content, form_notes = _converted(model, inputs)
    except ConversionFailed as failed:
        return TrialRun(not_convertible={"none": failed.detail} | refused, notes=tuple(notes))
    return TrialRun(tflite_file.operations(content), refused, (*notes, *form_notes))


def _ran(model: Any) -> Inputs | None:
    """Inputs of two samples that the model takes; None if it takes none that were tried."""
    open_axes = any(None in tensor.shape[1:] for tensor in model.inputs)
    fault: Exception | None = None
    for size in SIZES if open_axes else SIZES[:1]:
        inputs = by_output(tuple(tensor.name for tensor in model.inputs), random_inputs(model, 0, size))
        try:
            predict(model, inputs)
        except Exception as failed:  # noqa: BLE001 - Keras and TensorFlow raise every kind
            fault = failed
        else:
            return inputs
    if open_axes:
        return None
    detail = fault.detail if isinstance(fault, SecateurError) else " ".join(str(fault).split())[:300]
    raise ModelUnreadable(
        f"Keras loads the model, but cannot run it on a batch of two random samples: {detail}",
        suggestions=["Call model.predict on a few samples where you train it, and save it again once that works."],
    ) from fault


def _converted(model: Any, inputs: Inputs) -> tuple[bytes, tuple[str, ...]]:
    shapes = [each.shape[1:] for each in arrays_of(inputs)]
    form = export_form(model, "none", shapes)
    try:
        content = litert.convert(form.model, "none", calibration=inputs)
    except ConversionFailed:
        if form.model is not model:
            raise
        form = single_sample_form(model, shapes)
        content = litert.convert(form.model, "none", calibration=inputs)
    litert.check_opens(content, inputs[:1])
    open_axes = any(None in tensor.shape[1:] for tensor in model.inputs)
    return content, () if open_axes else form.notes  # which size open axes get, the samples of a job decide


def _too_many_steps(model: Any, inputs: Inputs) -> int:
    """The most time steps that int8 would have to unroll, if they are too many; else 0."""
    layers = [layer for layer in recurrent_layers(model) if not layer.unroll and layer._inbound_nodes]
    steps = [layer._inbound_nodes[0].input_tensors[0].shape[1] or 0 for layer in layers]
    return max((count for count in steps if count > MAX_UNROLLED_STEPS), default=0)
