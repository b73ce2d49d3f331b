"""Does what the training steps ask for fit this data? Part of ``jobspec.fit``."""

import math
from typing import Final

from jobspec.errors import FieldError, HeldOutDataMissing
from jobspec.spec import Data, Recipe, Step
from jobspec.summaries import DatasetSummary
from jobspec.training import Finetune, Trained

MIN_HELD_OUT: Final = 20
"""Fewer held-out samples than this tell nothing: one sample more or less is five points."""


def course_of(step: Step) -> tuple[str, Trained] | None:
    """How a step trains, and where in the step that is said; None when it does not train.

    >>> course_of(Finetune(epochs=2))[0]
    ''
    """
    if isinstance(step, Finetune):
        return "", step
    schedule = getattr(step, "schedule", None)
    return ("schedule.", schedule) if isinstance(schedule, Trained) else None


def check_training(spec: Recipe, dataset: DatasetSummary) -> None:
    """Hold what training steps ask for against the data.

    Raises:
        HeldOutDataMissing: a training is to stop by held-out samples, and there are too few.
    """
    for index, step in enumerate(spec.steps):
        if (found := course_of(step)) is not None and found[1].patience is not None:
            asking = f"steps.{index}.{found[0]}patience"
            check_held_out(dataset, spec.data, why="to stop a training early", asking=asking)


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
