"""Do labels and objective fit the outputs of the model? Part of ``secateur.validation.fit``."""

import math
from collections.abc import Sequence

from secateur.errors import BridgeRefused, FieldError, LabelsMismatch, TrainingUnserved
from secateur.reports.summaries import DatasetSummary, LabelInfo, ModelSummary, TensorInfo
from secateur.specs.spec import Objective, Recipe
from secateur.validation.objective import check_objective
from secateur.validation.samples import shape_in_words
from secateur.validation.training import course_of


def check_outputs(wanted: Objective, model: ModelSummary, dataset: DatasetSummary) -> None:
    """Labels that outputs can produce, and losses and metrics that fit them.

    Raises:
        LabelsMismatch: naming the output.
    """
    labelled = labelled_outputs(model, dataset)
    names = [tensor.name for tensor, _ in labelled]
    _check_names(wanted, [tensor.name for tensor in model.outputs], names)
    judged = wanted.judged or names[0]
    several = len(model.outputs) > 1
    for tensor, labels in labelled:
        field = f"objective.outputs.{tensor.name}" if tensor.name in wanted.outputs else "objective"
        own = wanted.of(tensor.name, judged=tensor.name == judged)
        if len(tensor.shape) > 2:
            check_positions(tensor, labels)
            continue
        check_labels(tensor, labels, named=bool(dataset.outputs))
        if own.loss is None and not several:
            check_floats(model, dataset)
        check_objective(own, labels.kind, num_units=tensor.shape[-1], field=field)


def labelled_outputs(model: ModelSummary, dataset: DatasetSummary) -> list[tuple[TensorInfo, LabelInfo]]:
    """The outputs that have labels, in the order of the model.

    Raises:
        LabelsMismatch: labels that do not say which output they are for, or name none that there is.
    """
    names = [tensor.name for tensor in model.outputs]
    if not dataset.outputs:
        if len(names) != 1:
            arrays = ", ".join(f"y_train.{name}, y_test.{name}" for name in names)
            raise LabelsMismatch(
                f"The model has {len(names)} outputs, {_listed(names)}; the data set does not say whose labels it has.",
                errors=[FieldError(field="dataset_id", messages=("labels of one output only",))],
                suggestions=[
                    f"Save labels for each in the .npz: {arrays}.",
                    "An output may go without: it is neither trained nor judged.",
                ],
            )
        return [(model.outputs[0], dataset.labels()[""])]
    stray = [name for name in dataset.outputs if name not in names]
    if stray:
        raise LabelsMismatch(
            f"There are labels for {_listed(stray)}; the model has the outputs {_listed(names)}.",
            errors=[FieldError(field="dataset_id", messages=(f"no output {name!r}",)) for name in stray],
            suggestions=["Name labels after outputs of the model, and upload again."],
        )
    return [(tensor, dataset.outputs[tensor.name]) for tensor in model.outputs if tensor.name in dataset.outputs]


def _check_names(wanted: Objective, names: Sequence[str], labelled: Sequence[str]) -> None:
    asked = [(f"objective.outputs.{name}", name) for name in wanted.outputs]
    if wanted.judged is not None:
        asked.append(("objective.judged", wanted.judged))
    for field, name in asked:
        if name not in labelled:
            why = "it has no labels" if name in names else f"the model has the outputs {_listed(names)}"
            raise LabelsMismatch(
                f"{field} names the output {name!r}, but {why}.",
                errors=[FieldError(field=field, messages=(why,))],
                suggestions=[f"With labels there are: {', '.join(labelled)}."],
            )


def check_single_output(spec: Recipe, model: ModelSummary) -> None:
    """Refuse what needs a model with a single output.

    Raises:
        TrainingUnserved: weights of classes, or learning from the uploaded model. BridgeRefused: TFMOT.
    """
    names = _listed([tensor.name for tensor in model.outputs])
    if spec.training.class_weight is not None:
        raise TrainingUnserved(
            f"The model has several outputs ({names}); class_weight does not say whose classes it means.",
            errors=[FieldError(field="training.class_weight", messages=("for a single output only",))],
            suggestions=["Leave class_weight out, or give whole outputs a weight in objective.outputs."],
        )
    for index, step in enumerate(spec.steps):
        if (found := course_of(step)) is not None and found[1].distill is not None:
            raise TrainingUnserved(
                f"The model has several outputs ({names}); only one that has a single output teaches.",
                errors=[FieldError(field=f"steps.{index}.{found[0]}distill", messages=("for a single output only",))],
                suggestions=["Leave distill out."],
            )
        if getattr(step, "toolkit", "") == "tfmot":
            raise BridgeRefused(
                f"The model has several outputs ({names}); TFMOT trains those with a single one here.",
                errors=[FieldError(field=f"steps.{index}.toolkit", messages=("for a single output only",))],
                suggestions=["Set toolkit to native, which prunes Keras 3 models as they are."],
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20]))


def check_labels(tensor: TensorInfo, labels: LabelInfo, *, named: bool) -> None:
    """An output can produce its labels.

    Args:
        named: whether the data set says which output they are for.
    """
    units = tensor.shape[-1]
    if units is None:
        return
    known = max(units, 2)  # a single unit tells two classes apart
    classes, of_output = labels.num_classes, f" of {tensor.name!r}" if named else ""
    arrays = " and ".join(f"y_{split}{'.' + tensor.name if named else ''}" for split in ("train", "test"))
    if labels.kind == "classes" and classes is not None and classes > known:
        raise LabelsMismatch(
            f"The highest label{of_output} is {classes - 1}; an output of {units} units knows the classes 0 to "
            f"{known - 1}.",
            errors=[FieldError(field="dataset_id", messages=(f"labels must lie in 0..{known - 1}",))],
            suggestions=_of_high_labels(units, arrays),
        )
    if labels.kind != "classes" and math.prod(labels.shape) != units:
        raise LabelsMismatch(
            f"Each label{of_output} has shape {shape_in_words(labels.shape)}, the model's output has {units} units.",
            errors=[FieldError(field="dataset_id", messages=(f"expected {units} numbers a label",))],
            suggestions=[
                f"Give {arrays} {units} columns, or one integer class a sample.",
                *(["Declare labels=classes when these are classes."] if math.prod(labels.shape) == 1 else []),
            ],
        )


def _of_high_labels(units: int, arrays: str) -> list[str]:
    """What to do about labels that are too high for classes; whole numbers for a single unit are likely counts."""
    regression = f"If they are values to regress, such as counts, declare labels=values, or store {arrays} as floats."
    classes = "Renumber the labels from 0, or upload the model that was trained on these classes."
    return [regression, classes] if units == 1 else [classes, regression]


def check_positions(tensor: TensorInfo, labels: LabelInfo) -> None:
    """Labels of an output with positions, such as pixels or time steps: one for each, or one for each number.

    The loaded model tells classes from values; here only the sizes can be compared.
    """
    *places, units = tensor.shape[1:]
    if units is None or None in places:
        return
    size, num_positions = math.prod(labels.shape), math.prod(each or 1 for each in places)
    if size not in ({num_positions, num_positions * units} if units > 1 else {num_positions}):
        raise positions_mismatch(tensor.name, tensor.shape[1:], labels.shape)


def positions_mismatch(name: str, shape: Sequence[int | None], label_shape: Sequence[int]) -> LabelsMismatch:
    """The error for labels that are neither one for each position of an output nor one for each number of it.

    Args:
        name: of the output.
        shape: of the output for one sample.
        label_shape: of the labels of one sample.
    """
    each, every = shape_in_words(shape[:-1]), shape_in_words(shape)
    return LabelsMismatch(
        f"Each label has shape {shape_in_words(label_shape)}; the output {name!r} has shape {every}.",
        errors=[FieldError(field="dataset_id", messages=(f"expected labels of shape {each} or {every}",))],
        suggestions=[
            f"For classes store one whole number for each position: shape {each}.",
            f"For values store one number for each output: shape {every}.",
        ],
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
