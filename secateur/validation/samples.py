"""Do the samples fit the inputs of the model? Part of ``secateur.validation.fit``."""

import math
from collections.abc import Iterable, Mapping, Sequence

from secateur.errors import FieldError, InputShapeMismatch
from secateur.reports.summaries import DatasetSummary, ModelSummary, SampleInfo, TensorInfo
from secateur.specs.scale import MeanDeviation, Scales, scale_of

Pair = tuple[TensorInfo, SampleInfo]


def check_samples(model: ModelSummary, dataset: DatasetSummary) -> None:
    """Every input has samples of its shape, or such as become it by flattening or by a trailing axis of one.

    Raises:
        InputShapeMismatch: naming the input and what is stored.
    """
    for tensor, stored in pairs(model, dataset):
        wanted = tensor.shape[1:]
        if fed_shape(stored.shape, wanted) is None:
            name = f".{tensor.name}" if dataset.inputs else ""
            what = f"Samples of {tensor.name!r}" if dataset.inputs else "Samples"
            sizes = ", ".join(map(_size, wanted))
            raise InputShapeMismatch(
                f"{what} have shape {shape_in_words(stored.shape)}, the model's input "
                f"{tensor.name!r} takes {shape_in_words(wanted)}.",
                errors=[
                    FieldError(field="dataset_id", messages=(f"expected samples of shape {shape_in_words(wanted)}",))
                ],
                suggestions=[f"Reshape x_train{name} and x_test{name} to (samples, {sizes}) and upload again."],
            )


def pairs(model: ModelSummary, dataset: DatasetSummary) -> list[Pair]:
    """Inputs of the model, in its order, with what is stored for each.

    Raises:
        InputShapeMismatch: an input has no samples, or samples have no input.
    """
    names = [tensor.name for tensor in model.inputs]
    if not dataset.inputs:
        if len(names) != 1:
            raise _unnamed(names)
        return [(model.inputs[0], dataset.samples()[""])]
    lacking = [name for name in names if name not in dataset.inputs]
    stray = [name for name in dataset.inputs if name not in names]
    if lacking or stray:
        raise _other_names(names, list(dataset.inputs), lacking, stray)
    return [(tensor, dataset.inputs[tensor.name]) for tensor in model.inputs]


def _unnamed(names: Sequence[str]) -> InputShapeMismatch:
    arrays = ", ".join(f"x_train.{name}, x_test.{name}" for name in names)
    columns = ", ".join(f'"{name}": [...]' for name in names)
    return InputShapeMismatch(
        f"The model has {len(names)} inputs, {_listed(names)}; the data set has samples without the name of an input.",
        errors=[FieldError(field="dataset_id", messages=("samples of one input only",))],
        suggestions=[
            f"Save an array for each in the .npz: {arrays}.",
            f"Of a table or of records declare inputs={{{columns}}}.",
        ],
    )


def _other_names(
    names: Sequence[str], stored: Sequence[str], lacking: Sequence[str], stray: Sequence[str]
) -> InputShapeMismatch:
    told = [
        *(f"the data set has no samples for the input {name!r}" for name in lacking),
        *(f"the model has no input {name!r}" for name in stray),
    ]
    return InputShapeMismatch(
        f"The model has the inputs {_listed(names)}, the data set names {_listed(stored)}: {'; '.join(told)}.",
        errors=[FieldError(field="dataset_id", messages=tuple(told))],
        suggestions=["Name the samples after the inputs of the model, each input once, and upload the data set again."],
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20]))


def fed_shape(sample: tuple[int, ...], wanted: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The shape that a sample takes on its way into the model, or None when it does not fit.

    Samples may come as they are, lack or have too much an axis of one at the end, or be flattened.

    >>> fed_shape((28, 28), (784,)), fed_shape((28, 28), (28, 28, 1)), fed_shape((28, 28), (14, 56))
    ((784,), (28, 28, 1), None)
    """
    flat = (math.prod(sample),)
    squeezed = sample[:-1] if sample[-1:] == (1,) else sample
    for shape in (sample, (*sample, 1), squeezed, flat):
        if len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True)):
            return shape
    return None


def check_scale(scales: Scales, model: ModelSummary, dataset: DatasetSummary) -> None:
    """Scales name inputs that there are, and one with numbers for each channel has as many as samples have channels.

    Raises:
        InputShapeMismatch: they do not.
    """
    names = [tensor.name for tensor in model.inputs]
    stray = [name for name in scales if name not in names] if isinstance(scales, Mapping) else []
    if stray:
        raise InputShapeMismatch(
            f"The scale names {_listed(stray)}; the model has the inputs {_listed(names)}.",
            errors=[
                FieldError(field=f"data.scale.{name}", messages=("the model has no such input",)) for name in stray
            ],
            suggestions=[f"Name inputs of the model: {', '.join(names[:20])}."],
        )
    for tensor, stored in pairs(model, dataset):
        scale, channels = scale_of(scales, tensor.name), stored.shape[-1]
        if not isinstance(scale, MeanDeviation) or scale.num_channels in (None, channels):
            continue
        wanted = scale.num_channels
        of_input = f" of {tensor.name!r}" if dataset.inputs else ""
        raise InputShapeMismatch(
            f"The scale has a mean and deviation for {wanted} channels; samples{of_input} have shape "
            f"{shape_in_words(stored.shape)}, whose last axis has {channels}.",
            errors=[FieldError(field="data.scale", messages=(f"{wanted} numbers for {channels} channels",))],
            suggestions=[f"Give one number, or {channels} in the order of the last axis."],
        )


def _size(size: int | None) -> str:
    return "any" if size is None else str(size)


def shape_in_words(shape: Iterable[int | None]) -> str:
    """
    >>> shape_in_words((None, 28))
    '(any, 28)'
    """
    return f"({', '.join(map(_size, shape))})"
