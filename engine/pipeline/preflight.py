"""Checks of every step that need the loaded model, before the first step changes anything."""

from collections.abc import Sequence

import numpy as np

from engine.arrays import Array
from engine.run.context import Run
from engine.steps.channels import check_later, final_channels, has_pattern, plan_rounds, timings_of
from engine.steps.finetune import trains
from engine.steps.prune import choose, unsolvable
from engine.structured.surgery import shrink
from secateur.errors import FieldError, NothingToReconstruct, StructureMismatch, ThresholdUnusable
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import THRESHOLDS, Prune
from secateur.specs.spec import Step


def check_steps(run: Run) -> None:
    """Refuse steps that cannot work on this model.

    Raises:
        ThresholdUnusable: a threshold prunes nothing, or a whole layer.
        NothingToReconstruct: reconstruction was requested, and none of the pruned layers supports it.
        BridgeRefused, LayerNotPrunable, NothingToPrune: TFMOT cannot prune this model.
        NothingToPrune, TargetUnreachable: a step that prunes channels cannot reach its target.
        StructureMismatch: the blocks of a later step do not divide the kernels after channels were removed, or
            removing channels would break up the blocks of an earlier step.
    """
    _check_channels(run)
    for index, step in enumerate(run.context.recipe.steps):
        if not isinstance(step, Prune):
            continue
        if step.criterion in THRESHOLDS and not any(map(trains, run.context.recipe.steps[:index])):
            _check_threshold(run, step, field=f"steps.{index}.{THRESHOLDS[step.criterion]}")
        if step.reconstruct:
            _check_reconstruct(run, step, field=f"steps.{index}.reconstruct")
        if step.toolkit == "tfmot":
            from engine.tfmot import gradual  # takes seconds, and turns tf.keras into Keras 2 for the whole process

            gradual.check(
                run.model, step, optimizer=run.context.recipe.training.optimizer, field=f"steps.{index}.layers"
            )


def _check_channels(run: Run) -> None:
    """Plan the first step that prunes channels. A second one depends on the channels that the first removes."""
    steps = run.context.recipe.steps
    step = next((step for step in steps if isinstance(step, PruneChannels)), None)
    _check_patterns(steps)
    if step is None or (step.latency is not None and not any(map(trains, steps[: steps.index(step)]))):
        return  # measuring latencies takes seconds; a step that comes first is checked when it starts
    rounds = plan_rounds(run, step, timings_of(run, step))
    if any(map(has_pattern, steps)):
        check_later(run, step, shrink(rounds.first, final_channels(rounds, step)))


def _check_patterns(steps: Sequence[Step]) -> None:
    """Refuse to prune channels after blocks or N:M groups: their places in a kernel shift when inputs are removed."""
    for index, step in enumerate(steps):
        earlier = next((number for number, each in enumerate(steps[:index]) if has_pattern(each)), None)
        if isinstance(step, PruneChannels) and earlier is not None:
            message = f"it would break up the blocks of steps.{earlier}"
            raise StructureMismatch(
                f"Step {index} cannot prune channels: {message}.",
                errors=[FieldError(field=f"steps.{index}.structure", messages=(message,))],
                suggestions=["Prune channels first, and blocks in a later step."],
            )


def _check_threshold(run: Run, step: Prune, *, field: str) -> None:
    pruner = choose(run, step)
    shares = {name: share for name, share in pruner.plan().items() if name not in step.layers}
    emptied = [name for name, share in shares.items() if share >= 1.0]
    if (shares and not any(shares.values())) or emptied:
        what = f"all weights of {', '.join(emptied)}" if emptied else "no weight in any layer"
        sizes = "; ".join(f"{name}: {_sizes(run.masks.weights(name))}" for name in shares)
        raise ThresholdUnusable(
            f"This {field.rpartition('.')[2]} would prune {what}. Magnitudes of the non-zero weights: {sizes}.",
            errors=[FieldError(field=field, messages=(f"would prune {what}",))],
            suggestions=["Choose a value between these magnitudes.", "Leave out the criterion and set a sparsity."],
        )


def _sizes(weights: Array) -> str:
    alive = np.abs(weights[weights != 0])
    return f"{alive.min():.2g} to {alive.max():.2g}, standard deviation {weights[weights != 0].std():.2g}"


def _check_reconstruct(run: Run, step: Prune, *, field: str) -> None:
    names = choose(run, step).names
    reasons = unsolvable(run, names)
    if len(reasons) == len(names):
        raise NothingToReconstruct(
            "None of the pruned layers can be reconstructed. "
            + " ".join(f"{name}: {reason}." for name, reason in reasons),
            errors=[FieldError(field=field, messages=tuple(f"{name}: {reason}" for name, reason in reasons))],
            suggestions=["Set reconstruct to false, or leave it out.", "Add a finetune step after this one."],
        )
