"""Does this spec fit this model and this data? Asked by the gateway before queueing, by the child before training.

Pure functions over summaries; each raises the error of the tree that names what to change.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from jobspec.channels import PruneChannels
from jobspec.errors import FieldError, InputShapeMismatch, LabelsMismatch, SpecMismatch, TargetUnreachable
from jobspec.fit_channels import check_channels
from jobspec.fit_objective import check_objective
from jobspec.fit_pruning import check_prune
from jobspec.fit_training import check_held_out, check_training
from jobspec.pruning import Prune
from jobspec.scale import MeanDeviation, Scale
from jobspec.search import SearchRecipe
from jobspec.sensitivity import SensitivityRecipe
from jobspec.spec import Recipe
from jobspec.summaries import DatasetSummary, ModelSummary
from jobspec.sweep import SweepRecipe, Trial


def check_fit(
    spec: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe, model: ModelSummary, dataset: DatasetSummary
) -> None:
    """Refuse a spec that cannot work; of a sweep or a search, steps that cannot at any sparsity.

    Raises:
        UnknownLayer, LayerNotPrunable, NothingToPrune, StructureMismatch, CriterionUnserved: a prune step and the
            model disagree.
        HeldOutDataMissing: too few held-out samples for what is to be measured on them.
        InputShapeMismatch, LabelsMismatch: the data and the model disagree.
    """
    match spec:
        case SensitivityRecipe():
            check_prune(spec.prune, model)
            check_held_out(dataset, spec.data)
        case SweepRecipe():
            for name in spec.methods:
                with _fields_of(name), suppress(TargetUnreachable):  # less may be in reach, which trials find out
                    _check_steps(spec.recipe_of(Trial(name, spec.sparsities[-1], spec.seed)), model, dataset)
        case SearchRecipe():
            with suppress(TargetUnreachable):
                _check_steps(spec.recipe_of(spec.highest), model, dataset)
        case Recipe():
            _check_steps(spec, model, dataset)
    check_samples(model, dataset)
    check_scale(spec.data.scale or dataset.scale, dataset)
    check_labels(model, dataset)
    if spec.objective.loss is None:
        check_floats(model, dataset)
    check_objective(spec.objective, dataset.label_kind, num_units=model.outputs[0].shape[-1])


@contextmanager
def _fields_of(method: str) -> Iterator[None]:
    """Errors about a method's steps name the fields that its user wrote."""
    try:
        yield
    except SpecMismatch as fault:
        fault.errors = tuple(
            each.model_copy(update={"field": each.field.replace("steps.", f"methods.{method}.", 1)})
            for each in fault.errors
        )
        raise


def _check_steps(spec: Recipe, model: ModelSummary, dataset: DatasetSummary) -> None:
    check_training(spec, model, dataset)
    for index, step in enumerate(spec.steps):
        if isinstance(step, PruneChannels):
            check_channels(step, model, field=f"steps.{index}")
        if isinstance(step, Prune):
            check_prune(step, model, field=f"steps.{index}")
            if step.distribution == "sensitivity":
                check_held_out(dataset, spec.data)


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
            suggestions=[
                f"Give y_train and y_test {units} columns, or one integer class a sample.",
                *(["Declare labels=classes when these are classes."] if math.prod(dataset.label_shape) == 1 else []),
            ],
        )


def check_scale(scale: Scale, dataset: DatasetSummary) -> None:
    """A mean and deviation for each channel are as many as samples have channels.

    Raises:
        InputShapeMismatch: they are not.
    """
    wanted = scale.num_channels if isinstance(scale, MeanDeviation) else None
    channels = dataset.sample_shape[-1]
    if wanted not in (None, channels):
        raise InputShapeMismatch(
            f"The scale has a mean and deviation for {wanted} channels; samples have shape "
            f"{_shape(dataset.sample_shape)}, whose last axis has {channels}.",
            errors=[FieldError(field="data.scale", messages=(f"{wanted} numbers for {channels} channels",))],
            suggestions=[f"Give one number, or {channels} in the order of the last axis."],
        )


def check_floats(model: ModelSummary, dataset: DatasetSummary) -> None:
    """A model that was trained to tell classes apart is not given fractions to regress without a word.

    Raises:
        LabelsMismatch: one column of floats, and a model compiled with cross-entropy.
    """
    loss = (model.loss or "").lower().replace("_", "")
    if dataset.label_kind == "values" and math.prod(dataset.label_shape) == 1 and "crossentropy" in loss:
        raise LabelsMismatch(
            f"The labels are floats ({dataset.label_dtype}), but the model was trained with {model.loss}, on classes.",
            errors=[FieldError(field="dataset_id", messages=("classes are whole numbers",))],
            suggestions=[
                "Upload the data again and declare labels=classes, or store them as whole numbers: y.astype('int64').",
                'If they are values to regress, set "objective": {"loss": "mean_squared_error"}.',
            ],
        )


def _size(size: int | None) -> str:
    return "any" if size is None else str(size)


def _shape(shape: Iterable[int | None]) -> str:
    return f"({', '.join(map(_size, shape))})"
