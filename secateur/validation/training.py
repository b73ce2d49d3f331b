"""Does what the training steps ask for fit this data? Part of ``secateur.validation.fit``."""

import math
from collections.abc import Mapping
from typing import Final

from secateur.errors import FieldError, HeldOutDataMissing, TrainingUnserved
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.spec import Data, Recipe, Step
from secateur.specs.training import Finetune, Trained
from secateur.validation.objective import WORDS, labels_of

MIN_HELD_OUT: Final = 20
"""Fewer held-out samples than this tell nothing: one sample more or less is five points."""


IMAGE_CHANNELS: Final = (1, 3, 4)


def course_of(step: Step) -> tuple[str, Trained] | None:
    """How a step trains, and where in the step that is said; None when it does not train.

    >>> course_of(Finetune(epochs=2))[0]
    ''
    """
    if isinstance(step, Finetune):
        return "", step
    schedule = getattr(step, "schedule", None)
    return ("schedule.", schedule) if isinstance(schedule, Trained) else None


def check_training(spec: Recipe, model: ModelSummary, dataset: DatasetSummary) -> None:
    """Hold what training steps ask for against model and data.

    Raises:
        HeldOutDataMissing: a training is to stop by held-out samples, and there are too few.
        TrainingUnserved: weights of classes that there are not, or changes of images where there are none.
    """
    if any(len(tensor.shape) > 2 for tensor in model.outputs):
        _check_positions(spec)
    if spec.training.class_weight is not None:
        _check_class_weight(spec.training.class_weight, dataset)
    if spec.training.augment is not None:
        _check_images(model)
    for index, step in enumerate(spec.steps):
        if (found := course_of(step)) is not None and found[1].patience is not None:
            asking = f"steps.{index}.{found[0]}patience"
            check_held_out(dataset, spec.data, why="to stop a training early", asking=asking)


def _check_positions(spec: Recipe) -> None:
    """Refuse what is not built for outputs with positions, such as pixels or time steps."""
    why = "The model has an output for each position, such as a pixel or a time step; this needs one for each sample."
    for name in ("class_weight", "augment"):
        if getattr(spec.training, name) is not None:
            raise _unserved(f"training.{name}", why, f"Leave {name} out.")
    for index, step in enumerate(spec.steps):
        if (found := course_of(step)) is not None and found[1].distill is not None:
            raise _unserved(f"steps.{index}.{found[0]}distill", why, "Leave distill out.")
        if getattr(step, "toolkit", "") == "tfmot":
            raise _unserved(f"steps.{index}.toolkit", why, "Set toolkit to native.")


def _check_class_weight(weights: str | Mapping[int, float], dataset: DatasetSummary) -> None:
    if labels_of(dataset.label_kind) != "classes":
        raise _unserved(
            "training.class_weight",
            f"The labels are {WORDS[labels_of(dataset.label_kind)]}; only classes can be weighted.",
            "Leave class_weight out.",
        )
    count = dataset.num_classes or 0
    unknown = [] if isinstance(weights, str) else sorted(number for number in weights if number >= count)
    if unknown:
        raise _unserved(
            "training.class_weight",
            f"There is no class {', '.join(map(str, unknown))}; the data set has the classes 0 to {count - 1}.",
            f"Name classes from 0 to {count - 1}.",
            'Set class_weight to "balanced".',
        )


def _check_images(model: ModelSummary) -> None:
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) > 1:
        raise _unserved(
            "training.augment",
            f"The model has several inputs ({', '.join(tensor.name for tensor in model.inputs)}); images are only "
            "changed where they are all that a model is given.",
            "Leave augment out, or change the images before you upload them.",
        )
    if len(shape) != 3 or shape[-1] not in IMAGE_CHANNELS or not model.inputs[0].dtype.startswith("float"):
        wanted = " x ".join("any" if size is None else str(size) for size in shape)
        raise _unserved(
            "training.augment",
            f"The model's input is {wanted} {model.inputs[0].dtype}; images are height x width x 1, 3 or 4 channels.",
            "Leave augment out.",
        )


def _unserved(field: str, what: str, *suggestions: str) -> TrainingUnserved:
    return TrainingUnserved(what, errors=[FieldError(field=field, messages=(what,))], suggestions=suggestions)


def check_held_out(dataset: DatasetSummary, data: Data, *, why: str = "to measure layers", asking: str = "") -> None:
    """There are samples to judge by that are neither trained on nor in the test split.

    Args:
        why: what they are for.
        asking: the field that asks for them, if it is one.

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
        f"Only {found} samples are held out of training; {why} takes at least {MIN_HELD_OUT}.",
        errors=[FieldError(field=name, messages=(f"{found} held-out samples",)) for name in (asking, field) if name],
        suggestions=[
            f"Upload a data set with at least {MIN_HELD_OUT} samples in x_val and y_val.",
            *([f"Set data.validation_share to {share:g} or more."] if share <= 0.5 else []),
        ],
    )
