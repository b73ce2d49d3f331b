"""What only the loaded model can tell, asked of every step before the first of them changes anything."""

from collections.abc import Sequence

import numpy as np

from engine.arrays import Array
from engine.run.context import Job
from engine.steps.channels import begin, check_later, final, has_pattern, timings_of
from engine.steps.finetune import trains
from engine.steps.prune import choose, unsolvable
from engine.structured.surgery import shrink
from secateur.errors import FieldError, NothingToReconstruct, StructureMismatch, ThresholdUnusable
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import THRESHOLDS, Prune
from secateur.specs.spec import Step


def check_steps(job: Job) -> None:
    """Refuse steps that this model cannot serve.

    Raises:
        ThresholdUnusable: a threshold that cuts nothing, or a whole layer.
        NothingToReconstruct: a repair was asked for, and no layer that the step cuts can be solved again.
        BridgeRefused, LayerNotPrunable, NothingToPrune: what TFMOT cannot do with this model.
        NothingToPrune, TargetUnreachable: what a step that takes channels asks for cannot be had.
        StructureMismatch: a later step's blocks do not divide the kernels that such a step leaves, or it would break
            up those of an earlier one.
    """
    _check_channels(job)
    for index, step in enumerate(job.recipe.steps):
        if not isinstance(step, Prune):
            continue
        if step.criterion in THRESHOLDS and not any(map(trains, job.recipe.steps[:index])):
            _check_threshold(job, step, field=f"steps.{index}.{THRESHOLDS[step.criterion]}")
        if step.reconstruct:
            _check_reconstruct(job, step, field=f"steps.{index}.reconstruct")
        if step.toolkit == "tfmot":
            from engine.tfmot import gradual  # takes seconds, and turns tf.keras into Keras 2 for the whole process

            gradual.check(job.model, step, optimizer=job.recipe.training.optimizer, field=f"steps.{index}.layers")


def _check_channels(job: Job) -> None:
    """Plan the first step that takes channels; what a second one finds depends on what the first has chosen."""
    steps = job.recipe.steps
    step = next((step for step in steps if isinstance(step, PruneChannels)), None)
    _check_patterns(steps)
    if step is None or (step.latency is not None and not any(map(trains, steps[: steps.index(step)]))):
        return  # a table of latencies takes seconds, and a step that comes first asks before it trains
    course = begin(job, step, timings_of(job, step))
    if any(map(has_pattern, steps)):
        check_later(job, step, shrink(course.first, final(course, step)))


def _check_patterns(steps: Sequence[Step]) -> None:
    """Blocks and N:M groups lie at fixed places of a kernel, which are others once inputs are gone."""
    for index, step in enumerate(steps):
        earlier = next((number for number, each in enumerate(steps[:index]) if has_pattern(each)), None)
        if isinstance(step, PruneChannels) and earlier is not None:
            message = f"it would break up the blocks that steps.{earlier} makes"
            raise StructureMismatch(
                f"Step {index} takes channels away: {message}.",
                errors=[FieldError(field=f"steps.{index}.structure", messages=(message,))],
                suggestions=["Take channels away first, and cut blocks in what is left."],
            )


def _check_threshold(job: Job, step: Prune, *, field: str) -> None:
    cutting = choose(job, step)
    shares = {name: share for name, share in cutting.plan().items() if name not in step.layers}
    emptied = [name for name, share in shares.items() if share >= 1.0]
    if (shares and not any(shares.values())) or emptied:
        what = f"all weights of {', '.join(emptied)}" if emptied else "no weight of any layer"
        sizes = "; ".join(f"{name}: {_sizes(job.masks.weights(name))}" for name in shares)
        raise ThresholdUnusable(
            f"Under this {field.rpartition('.')[2]} lies {what}. Sizes of weights that are not zero: {sizes}.",
            errors=[FieldError(field=field, messages=(f"cuts {what}",))],
            suggestions=["Choose a value between those sizes.", "Leave the criterion out and give a sparsity."],
        )


def _sizes(weights: Array) -> str:
    alive = np.abs(weights[weights != 0])
    return f"{alive.min():.2g} to {alive.max():.2g}, standard deviation {weights[weights != 0].std():.2g}"


def _check_reconstruct(job: Job, step: Prune, *, field: str) -> None:
    names = choose(job, step).names
    reasons = unsolvable(job, names)
    if len(reasons) == len(names):
        raise NothingToReconstruct(
            "None of the layers that are cut can be solved again. "
            + " ".join(f"{name}: {reason}." for name, reason in reasons),
            errors=[FieldError(field=field, messages=tuple(f"{name}: {reason}" for name, reason in reasons))],
            suggestions=["Set reconstruct to false, or leave it out.", "Train in a later step: add finetune."],
        )
