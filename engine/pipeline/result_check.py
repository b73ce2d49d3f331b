"""Is the result worth handing out? The check that the baseline has, and what to change when the result lost much."""

from typing import Final

import numpy as np

from engine.arrays import Array
from engine.evaluation import measure
from engine.evaluation.chance import AT_CHANCE, sign_test
from engine.objectives.agreement import determination
from engine.objectives.objective import Objective
from engine.run.context import Run
from secateur.errors import FieldError, ResultAtChance
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Prune
from secateur.specs.spec import Quantize
from secateur.specs.training import Finetune

MUCH: Final = 0.05
"""Lost accuracy, or R2, from which the report suggests what to change."""

LEVEL: Final = 0.01
"""Chance of a suggestion where nothing was lost."""

LOOKED_AT: Final = 1000
"""Test samples on which the cause of a loss is looked for."""


def check_result(run: Run, before: Array, after: Array) -> tuple[str, ...]:
    """Refuse a result that only guesses, and find out what lost the quality of one that lost much.

    Args:
        run: the finished run; ``run.result`` is the exported file.
        before: outputs of the original for the test split, of the output that is evaluated.
        after: outputs of the result's file.

    Returns:
        Suggestions for the next job; nothing when little was lost.

    Raises:
        ResultAtChance: the original has learnt something, the result is no better than guessing, and the recipe does
            not say to hand it out all the same.
    """
    objective = run.context.objective.head
    truths = objective.truths(run.context.objective.of(run.context.data.test.y))
    ours, theirs = objective.decided(before), objective.decided(after)
    learnt, left = objective.skill(truths, ours), objective.skill(truths, theirs)
    if not _lost_much(objective, truths, ours, theirs):
        return ()
    fixes = tuple(_fixes(run, objective, truths, theirs))
    if learnt >= AT_CHANCE > left and run.context.recipe.on_chance_result == "fail":
        raise ResultAtChance(
            f"On {len(truths):,} test samples the result has a skill of {left:.2f}, the uploaded model one of "
            f"{learnt:.2f} (0 is guessing, 1 is perfect).",
            errors=[FieldError(field="steps", messages=("leave a model that only guesses",))],
            suggestions=[*fixes, 'Set "on_chance_result": "continue" to get the files all the same.'],
        )
    return fixes


def _lost_much(objective: Objective, truths: Array, before: Array, after: Array) -> bool:
    good, left = objective.rightness(truths, before), objective.rightness(truths, after)
    lost = good.mean() - left.mean()
    if objective.task == "regression":
        lost = determination(truths, before) - determination(truths, after)
    return bool(lost >= MUCH and sign_test(good, left) < LEVEL)


def _fixes(run: Run, objective: Objective, truths: Array, of_file: Array) -> list[str]:
    """What to change, by where the quality was lost: in the number format, or before.

    Args:
        run: the finished run.
        objective: of the output that is evaluated.
        truths: of the test split.
        of_file: what the file decides on the test split.
    """
    assert run.result is not None
    if run.result.scheme == "none":
        return _gentler(run)
    data = run.context.data.test.first(LOOKED_AT)
    outputs = run.context.objective.of(measure.outputs_of(run.model, run.context.feed, data.x))
    of_model, count = objective.decided(outputs), len(data)
    lost_by_format = _lost_much(objective, truths[:count], of_model, of_file[:count])
    return _other_format(run) if lost_by_format else _gentler(run)


def _other_format(run: Run) -> list[str]:
    step = next(step for step in run.context.recipe.steps if isinstance(step, Quantize))
    found = [f'The number format loses most: use scheme "{"dynamic" if step.scheme == "int8" else "float16"}".']
    if step.scheme == "int8":
        found.append('Or use scheme "float16", which keeps almost everything.')
    if step.scheme == "int8" and step.calibration_samples < min(500, len(run.context.data.train)):
        found.append(f"Or calibrate on more than {step.calibration_samples} samples.")
    return found


def _gentler(run: Run) -> list[str]:
    steps = run.context.recipe.steps
    found = []
    if not any(isinstance(step, Finetune) and step.epochs >= 5 for step in steps):
        found.append('Fine-tune after pruning: add {"kind": "finetune", "epochs": 10}, or more epochs.')
    if any(isinstance(step, PruneChannels) for step in steps):
        found.append("Remove fewer channels: set a larger macs, or a lower sparsity.")
    if any(isinstance(step, Prune) for step in steps):
        found.append("Prune less: set a lower sparsity, or leave out the layers that lose most (skip_layers).")
    rates = [step.learning_rate for step in steps if isinstance(step, Finetune) and step.learning_rate is not None]
    if rates or (run.history and not np.isfinite(run.history[-1].loss)):
        found.append("Train with a lower learning_rate.")
    found.append('A job of kind "search" finds the highest sparsity that loses no more than a bound.')
    return found
