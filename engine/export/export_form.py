"""The form of a model that the LiteRT converter takes: the same weights, with shapes fixed where LiteRT needs it.

Axes whose size the model leaves open get the size of the samples; a file that keeps them open starts with size 1 and
fails as soon as a standard interpreter allocates its tensors. Recurrent layers run in a loop whose tensor lists LiteRT
expresses for a fixed batch size only, and whose loop body the quantiser of activations cannot enter, so that int8 needs
the loop unrolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import keras

from engine.models.model import finalized
from engine.models.rebuild import Config, copy_weights, edited, rebuild, remade
from secateur.errors import ConversionFailed
from secateur.specs.spec import Scheme

MAX_UNROLLED_STEPS: Final = 128
"""Time steps that are unrolled at most: conversion time and file size grow with each."""


@dataclass(frozen=True)
class ExportForm:
    """A model as it is converted."""

    model: Any
    notes: tuple[str, ...] = ()
    """What differs from the model, in words for the report."""


def export_form(model: Any, scheme: Scheme, shapes: Sequence[tuple[int, ...]]) -> ExportForm:
    """The form in which a model is converted with a scheme.

    Args:
        shapes: the shape of one sample of each input, in the order of the model.

    Returns:
        The model itself, if nothing has to be fixed.

    Raises:
        ConversionFailed: int8 would have to unroll more than ``MAX_UNROLLED_STEPS`` time steps.
    """
    recurrent = [layer for layer in recurrent_layers(model) if not layer.unroll]
    unknown = [tensor for tensor in model.inputs if None in tensor.shape[1:]]
    notes = [_fixed(tensor, shape) for tensor, shape in zip(model.inputs, shapes, strict=True) if tensor in unknown]
    if not recurrent and not unknown:
        return ExportForm(model)
    unroll = bool(recurrent) and scheme == "int8"
    if recurrent:
        names = ", ".join(layer.name for layer in recurrent)
        notes.append(f"The .tflite file takes one sample at a time, because it has recurrent layers: {names}.")
    if unroll:
        notes.append("Their time steps are unrolled for int8, which makes the file larger.")
    fixed = _rebuilt(model, shapes if unknown else None, batch=1 if recurrent else None, unroll=unroll)
    if unroll:
        _check_steps(fixed, [layer.name for layer in recurrent])
    return ExportForm(fixed, tuple(notes))


def single_sample_form(model: Any, shapes: Sequence[tuple[int, ...]]) -> ExportForm:
    """The form for models that LiteRT expresses for a batch size of one only."""
    note = "The .tflite file takes one sample at a time: LiteRT cannot express the model for other batch sizes."
    return ExportForm(_rebuilt(model, shapes, batch=1, unroll=False), (note,))


def recurrent_layers(model: Any) -> list[Any]:
    """The layers of a model that loop over time, those inside nested models and wrappers included."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in layers if isinstance(layer, keras.layers.RNN)]


def num_steps(layer: Any) -> int | None:
    """The time steps of a recurrent layer's input; None where they are open, or a wrapper calls the layer."""
    return layer._inbound_nodes[0].input_tensors[0].shape[1] if layer._inbound_nodes else None


def _fixed(tensor: Any, shape: tuple[int, ...]) -> str:
    wanted = " x ".join("?" if size is None else str(size) for size in tensor.shape[1:])
    return (
        f"The .tflite file takes {tensor.name!r} as {' x '.join(map(str, shape))}, the shape of the samples; "
        f"the model leaves it open ({wanted})."
    )


def _rebuilt(model: Any, shapes: Sequence[tuple[int, ...]] | None, *, batch: int | None, unroll: bool) -> Any:
    """The model with its shapes fixed and its weights copied."""
    known = iter(shapes or ())
    outer = {id(tensor): (batch, *(next(known, tensor.shape[1:]))) for tensor in model.inputs}

    def edit(config: Config) -> Config:
        return config | {"unroll": True} if unroll and "unroll" in config else config

    rebuilt = rebuild(
        model,
        make=lambda operation: remade(operation, lambda config: edited(config, edit)),
        input_shape=lambda tensor: outer.get(id(tensor), (batch, *tensor.shape[1:])),
    )
    copy_weights(rebuilt.layers())
    return finalized(rebuilt.model)


def _check_steps(model: Any, names: Sequence[str]) -> None:
    for layer in recurrent_layers(model):
        steps = num_steps(layer)
        if steps is not None and steps > MAX_UNROLLED_STEPS:
            raise ConversionFailed(
                f"int8 of a recurrent layer unrolls its time steps, at most {MAX_UNROLLED_STEPS}; "
                f"{', '.join(names)} would take {steps}.",
                suggestions=['Quantise with scheme "dynamic" or "float16".', "Feed shorter sequences."],
            )
