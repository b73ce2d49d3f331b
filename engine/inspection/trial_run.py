"""Run and convert a model once, when it is uploaded: a job must not fail for it an hour later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from engine.bridge.twin import random_inputs
from engine.export import tflite_file
from engine.export.export import converted
from engine.export.export_form import MAX_UNROLLED_STEPS, num_steps, recurrent_layers
from engine.models.predict import predict
from engine.parts import Inputs, Outputs, arrays_of, by_output
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
    ran = _ran(model)
    if ran is None:
        return TrialRun(notes=("The model was not tried: no size that was tried for its open axes works.",))
    inputs, outputs = ran
    notes = []
    if not all(np.isfinite(each).all() for each in arrays_of(outputs)):
        notes.append("On random inputs the outputs are not finite.")
    refused = {}
    if steps := _too_many_steps(model):
        refused["int8"] = f"it would unroll {steps} time steps, and {MAX_UNROLLED_STEPS} is the most"
    try:
        _, content, form_notes = converted(model, "none", inputs)
    except ConversionFailed as failed:
        return TrialRun(not_convertible={"none": failed.detail} | refused, notes=tuple(notes))
    if not _has_open_axes(model):  # which size those get, the samples of a job decide
        notes += form_notes
    return TrialRun(tflite_file.operations(content), refused, tuple(notes))


def _has_open_axes(model: Any) -> bool:
    return any(None in tensor.shape[1:] for tensor in model.inputs)


def _ran(model: Any) -> tuple[Inputs, Outputs] | None:
    """Inputs of two samples that the model takes, and its outputs; None if it takes none that were tried."""
    fault: Exception | None = None
    for size in SIZES if _has_open_axes(model) else SIZES[:1]:
        inputs = by_output(tuple(tensor.name for tensor in model.inputs), random_inputs(model, 0, size))
        try:
            return inputs, predict(model, inputs)
        except Exception as failed:  # noqa: BLE001 - Keras and TensorFlow raise every kind
            fault = failed
    if _has_open_axes(model):
        return None
    detail = fault.detail if isinstance(fault, SecateurError) else " ".join(str(fault).split())[:300]
    raise ModelUnreadable(
        f"Keras loads the model, but cannot run it on a batch of two random samples: {detail}",
        suggestions=["Call model.predict on a few samples where you train it, and save it again once that works."],
    ) from fault


def _too_many_steps(model: Any) -> int:
    """The most time steps that int8 would have to unroll, if they are too many; else 0."""
    steps = [num_steps(layer) or 0 for layer in recurrent_layers(model) if not layer.unroll]
    return max((count for count in steps if count > MAX_UNROLLED_STEPS), default=0)
