"""Does this spec fit this model and this data? Asked by the gateway before queueing, by the child before training.

Pure functions over summaries; each raises the error of the tree that names what to change.
"""

import difflib
import math
from collections.abc import Iterable
from typing import Final

from jobspec.errors import (
    FieldError,
    HeldOutDataMissing,
    InputShapeMismatch,
    LabelsMismatch,
    LayerNotPrunable,
    NothingToPrune,
    UnknownLayer,
)
from jobspec.fit_pruning import check_criterion, check_structure
from jobspec.pruning import Prune
from jobspec.sensitivity import SensitivityRecipe
from jobspec.spec import Data, Recipe
from jobspec.summaries import DatasetSummary, ModelSummary

MIN_HELD_OUT: Final = 20
"""Fewer held-out samples than this tell nothing about a layer: one sample more or less is five points."""


def check_fit(spec: Recipe | SensitivityRecipe, model: ModelSummary, dataset: DatasetSummary) -> None:
    """Refuse a spec that cannot work.

    Raises:
        UnknownLayer, LayerNotPrunable, NothingToPrune: a prune step and the model disagree.
        HeldOutDataMissing: too few held-out samples for what is to be measured on them.
        InputShapeMismatch, LabelsMismatch: the data and the model disagree.
    """
    if isinstance(spec, SensitivityRecipe):
        check_prune(spec.prune, model)
        check_held_out(dataset, spec.data)
    else:
        _check_steps(spec, model, dataset)
    check_samples(model, dataset)
    check_labels(model, dataset)


def _check_steps(spec: Recipe, model: ModelSummary, dataset: DatasetSummary) -> None:
    for index, step in enumerate(spec.steps):
        if isinstance(step, Prune):
            check_prune(step, model, field=f"steps.{index}")
            if step.distribution == "sensitivity":
                check_held_out(dataset, spec.data)


def check_prune(step: Prune, model: ModelSummary, *, field: str = "") -> None:
    """Every layer that the step names exists and can be pruned, and something is left to prune.

    Args:
        field: where the step stands in the spec; nothing when its fields are the spec's own.
    """
    inside = f"{field}." if field else ""
    _check_names(step.layers, model, field=f"{inside}layers", must_be_prunable=True)
    _check_names(step.skip_layers, model, field=f"{inside}skip_layers", must_be_prunable=False)
    left = [layer for layer in model.layers if layer.prunable and layer.name not in step.skip_layers]
    if not any(step.layers.get(layer.name, 1.0) for layer in left):
        reasons = "; ".join(f"{layer.name}: {layer.reason}" for layer in model.layers if layer.reason)
        raise NothingToPrune(
            f"After skip_layers no layer of {model.name!r} is left to prune. {reasons}".strip(),
            suggestions=["Take a layer out of skip_layers, or leave out the prune step."],
        )
    check_structure(step, model, field=inside)
    check_criterion(step, model, field=inside)


def _check_names(names: Iterable[str], model: ModelSummary, *, field: str, must_be_prunable: bool) -> None:
    for name in names:
        layer = model.layer(name)
        if layer is None:
            known = [layer.name for layer in model.layers]
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:10]
            raise UnknownLayer(
                f"The model has no layer {name!r}.",
                errors=[FieldError(field=field, messages=(f"unknown layer {name!r}",))],
                suggestions=[f"Layers with a similar name: {', '.join(close)}."],
            )
        if must_be_prunable and not layer.prunable:
            raise LayerNotPrunable(
                f"Layer {name!r} ({layer.class_name}) cannot be pruned: {layer.reason}.",
                errors=[FieldError(field=field, messages=(f"{name!r}: {layer.reason}",))],
                suggestions=[f"Take {name!r} out of layers."],
            )


def check_held_out(dataset: DatasetSummary, data: Data) -> None:
    """There are samples to measure layers on that are neither trained on nor in the test split.

    Raises:
        HeldOutDataMissing: fewer than ``MIN_HELD_OUT``.
    """
    if (given := dataset.splits.get("validation")) is not None:
        found, field, share = given.num_samples, "dataset_id", 1.0
    else:
        available = dataset.splits["train"].num_samples
        found, field = round(available * data.validation_share), "data.validation_share"
        share = math.ceil(100 * MIN_HELD_OUT / available) / 100
    if found >= MIN_HELD_OUT:
        return
    raise HeldOutDataMissing(
        f"Only {found} samples are held out of training; to measure layers takes at least {MIN_HELD_OUT}.",
        errors=[FieldError(field=field, messages=(f"{found} held-out samples",))],
        suggestions=[
            f"Upload a data set with at least {MIN_HELD_OUT} samples in x_val and y_val.",
            *([f"Set data.validation_share to {share:g} or more."] if share <= 0.5 else []),
        ],
    )


def check_samples(model: ModelSummary, dataset: DatasetSummary) -> None:
    """One input, and samples that have its shape, or that become it by flattening or by a trailing axis of one."""
    if len(model.inputs) != 1:
        raise InputShapeMismatch(
            f"The model has {len(model.inputs)} inputs; a data set of x_train and y_train feeds exactly one.",
            suggestions=["Upload a model with a single input."],
        )
    wanted = model.inputs[0].shape[1:]
    if fed_shape(dataset.sample_shape, wanted) is None:
        raise InputShapeMismatch(
            f"Samples have shape {_shape(dataset.sample_shape)}, the model's input "
            f"{model.inputs[0].name!r} takes {_shape(wanted)}.",
            errors=[FieldError(field="dataset_id", messages=(f"expected samples of shape {_shape(wanted)}",))],
            suggestions=[f"Reshape x_train and x_test to (samples, {', '.join(map(_size, wanted))}) and upload again."],
        )


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


def check_labels(model: ModelSummary, dataset: DatasetSummary) -> None:
    """One output, and labels that it can produce."""
    if len(model.outputs) != 1:
        raise LabelsMismatch(
            f"The model has {len(model.outputs)} outputs; a data set of x_train and y_train teaches exactly one.",
            suggestions=["Upload a model with a single output."],
        )
    units = model.outputs[0].shape[-1]
    if units is None:
        return
    known = max(units, 2)  # a single unit tells two classes apart
    classes = dataset.num_classes
    if dataset.label_kind == "classes" and classes is not None and classes > known:
        raise LabelsMismatch(
            f"The highest label is {classes - 1}; an output of {units} units knows the classes 0 to {known - 1}.",
            errors=[FieldError(field="dataset_id", messages=(f"labels must lie in 0..{known - 1}",))],
            suggestions=[
                "Renumber the labels from 0, or upload the model that was trained on these classes.",
                "If they are values to regress, store y_train and y_test as floats.",
            ],
        )
    if dataset.label_kind != "classes" and math.prod(dataset.label_shape) != units:
        raise LabelsMismatch(
            f"Each label has shape {_shape(dataset.label_shape)}, the model's output has {units} units.",
            errors=[FieldError(field="dataset_id", messages=(f"expected {units} numbers a label",))],
            suggestions=[f"Give y_train and y_test {units} columns, or one integer class a sample."],
        )


def _size(size: int | None) -> str:
    return "any" if size is None else str(size)


def _shape(shape: Iterable[int | None]) -> str:
    return f"({', '.join(map(_size, shape))})"
