"""The step that prunes channels: each round scores, plans, builds the smaller model, reconstructs and trains it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import keras
import numpy as np

from engine.arrays import Mask
from engine.inspection.summary import summarise
from engine.pruning.masking import Masks
from engine.run.context import Run
from engine.steps.channel_rounds import (
    ChannelRounds,
    OnAdvance,
    RoundProgress,
    resume_rounds,
    round_checkpoint,
    rounds_of,
    timings_checkpoint,
)
from engine.steps.channel_scores import scores_of
from engine.steps.finetune import RETRAIN, train_on
from engine.structured.groups import channels_of
from engine.structured.latency import Timings, measure
from engine.structured.planning import Cost, plan, prunable_groups
from engine.structured.reconstruct import add_bias_corrections, bias_corrections, reconstruct_consumers
from engine.structured.savings import Costs, group_infos
from engine.structured.surgery import narrow
from secateur.errors import FieldError, NothingToPrune, TargetUnreachable
from secateur.reports.report import GroupCut
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Constant, OneShot, Prune
from secateur.specs.spec import Quantize, Step
from secateur.specs.training import Trained
from secateur.validation.channels import why_left_alone
from secateur.validation.pruning import check_structure


def prune_channels(run: Run, step: PruneChannels, name: str, on_advance: OnAdvance) -> str:
    """Remove channels, in as many rounds as the schedule has.

    Raises:
        NothingToPrune, TargetUnreachable: the loaded model does not allow what the step asks for.
        StructureMismatch: a later step's blocks do not divide the kernels that are left.
    """
    planned, timings = rounds_of(step), timings_of(run, step)
    progress = RoundProgress(on_advance, parts=len(planned))
    with timings_checkpoint(run, timings):
        rounds = plan_rounds(run, step, timings)
        resumed = resume_rounds(run, rounds)
        for number, each in list(enumerate(planned))[max(resumed, 0) :]:
            share = 0.2 if each.epochs else 1.0  # of the round's time, for the cut
            if number != resumed:
                _cut(run, step, rounds, each.progress, progress.within(number, 0.0, share))
            if each.epochs:
                with round_checkpoint(run, rounds, number):
                    _train(run, step, name, each.epochs, progress.within(number, share, 1.0))
    _record(run, step, rounds)
    check_later(run, step, run.model)
    run.notes += _asked_and_delivered(step, rounds, name)
    return _summary(rounds)


def timings_of(run: Run, step: PruneChannels) -> Timings | None:
    """The timings behind a latency target: measured now, or by the process that started the step."""
    if step.amount[0] != "latency":
        return None
    if (earlier := run.context.checkpoint.restore("timings")) is not None:
        return Timings.from_state_dict(earlier)
    quantize = next((each for each in run.context.recipe.steps if isinstance(each, Quantize)), Quantize(scheme="none"))
    return measure(run.model, quantize.scheme, inputs=run.calibration(1))


def plan_rounds(run: Run, step: PruneChannels, timings: Timings | None) -> ChannelRounds:
    """Find the groups that a step prunes, and check that it can reach its target.

    Args:
        timings: the result of ``timings_of`` for this step.

    Raises:
        NothingToPrune, TargetUnreachable: the step cannot reach its target.
    """
    first = channels_of(run.model)
    costs = Costs.of(first)
    infos = group_infos(costs)
    with _blamed_on(run, step):
        groups, alive = prunable_groups(first, infos, step), first.all_kept()
        rounds = ChannelRounds(first, first, costs, infos, groups, _cost(run, step, costs, timings), alive)
        if not run.context.checkpoint.is_resumed and final_channels(rounds, step).all():
            raise _nothing_goes(rounds, step)
    return rounds


def _nothing_goes(rounds: ChannelRounds, step: PruneChannels) -> NothingToPrune:
    widths = ", ".join(f"{each.group.name} {each.width}" for each in rounds.groups)
    return NothingToPrune(
        f"The step would remove no channel: rounded to multiples of {step.channel_multiple}, every group keeps its "
        f"full width ({widths}).",
        suggestions=[
            f"Raise {step.amount[0]}.",
            *(["Lower channel_multiple."] if step.channel_multiple > 1 else []),
        ],
    )


def final_channels(rounds: ChannelRounds, step: PruneChannels) -> Mask:
    """The channels that would remain after the last round if all scores in a group were equal."""
    return plan(rounds.groups, step, np.ones(len(rounds.alive)), rounds.alive, cost=rounds.cost)


def check_later(run: Run, step: PruneChannels, small: Any) -> None:
    """Check the later steps, up to the next one that changes shapes, against the model after this step.

    Raises:
        StructureMismatch: blocks do not divide what is left of a kernel.
    """
    place = _place(run, step)
    if place is None:
        return
    later = list(enumerate(run.context.recipe.steps))[place + 1 :]
    shaped = takewhile(lambda each: not isinstance(each[1], PruneChannels), later)
    if asking := [(number, each) for number, each in shaped if isinstance(each, Prune) and has_pattern(each)]:
        summary = summarise(small)
        for number, each in asking:
            check_structure(each, summary, field=f"steps.{number}.")


def has_pattern(step: Step) -> bool:
    """Whether a step prunes blocks or N:M groups, whose size must divide the shape of a kernel."""
    return isinstance(step, Prune) and step.structure in ("block", "n_m")


@contextmanager
def _blamed_on(run: Run, step: PruneChannels) -> Iterator[None]:
    """Add the field of the spec to errors that the block raises."""
    try:
        yield
    except (NothingToPrune, TargetUnreachable) as error:
        if (place := _place(run, step)) is not None and not error.errors:
            amount = f".{step.amount[0]}" if isinstance(error, TargetUnreachable) else ""
            error.errors = (FieldError(field=f"steps.{place}{amount}", messages=(error.detail,)),)
        raise


def _place(run: Run, step: PruneChannels) -> int | None:
    """The index of a step in the recipe; None for a step that is not in it."""
    return next((place for place, each in enumerate(run.context.recipe.steps) if each is step), None)


def _cost(run: Run, step: PruneChannels, costs: Costs, timings: Timings | None) -> Cost:
    if timings is not None:
        table = timings.table(run.model)
        return lambda kept: table.milliseconds(costs.sizes(kept))
    return costs.params if step.amount[0] == "params" else costs.macs


def _cut(
    run: Run, step: PruneChannels, rounds: ChannelRounds, progress: float, on_progress: Callable[[float], None]
) -> None:
    """Remove channels once and reconstruct. The job has a smaller model afterwards."""
    keras.utils.set_random_seed(run.context.recipe.seed)  # new layers draw seeds, the same in every process
    now = rounds.now
    names = {each.group.name for each in rounds.groups}
    groups = [group for group in now.groups if group.name in names]
    scores = scores_of(run, now, groups, step, lambda share: on_progress(share / 2))
    kept = plan(rounds.groups, step, scores, rounds.alive, cost=rounds.cost, progress=progress)
    samples = run.samples(step.reconstruct_samples)
    missed = {} if step.reconstruct else bias_corrections(now, kept, samples)
    rounds.now, rounds.alive = narrow(now, kept), kept
    small = rounds.now.trace.model
    assert small.count_params() == rounds.costs.params(kept), "what was planned was built"
    masks = Masks.of(small)
    if step.reconstruct:
        notes = reconstruct_consumers(now, kept, small, masks, samples, lambda share: on_progress((1 + share) / 2))
    else:
        notes = add_bias_corrections(missed, now, kept, small)
    _replace_model(run, small, masks)
    run.notes += [note for note in notes if note not in run.notes]
    run.refresh_statistics()


def _replace_model(run: Run, small: Any, masks: Masks) -> None:
    """Give the job the smaller model, and lower the targets of earlier steps to the zeros that are left."""
    run.model, run.masks = small, masks
    for name in run.targets:
        run.targets[name] = min(run.targets[name], masks.sparsity([name]))
        run.num_groups.pop(name, None)


def _train(run: Run, step: PruneChannels, name: str, epochs: int, on_progress: Callable[[float], None]) -> None:
    assert not isinstance(step.schedule, OneShot), "it does not train"
    before = len(run.history)
    done = sum(point.step == name for point in run.history)
    schedule = Constant(epochs=epochs, **step.schedule.model_dump(include=set(Trained.model_fields)))
    rate = run.context.learning_rate * RETRAIN  # after reconstruction the weights are close to their goal
    train_on(run, name, schedule, rate, lambda at: on_progress(at.progress))
    run.history[before:] = [point.model_copy(update={"epoch": done + point.epoch}) for point in run.history[before:]]
    run.refresh_statistics()


def _record(run: Run, step: PruneChannels, rounds: ChannelRounds) -> None:
    """Record in the job, for the report, how many channels of each group are left, and what earlier steps removed."""
    whole, costs = rounds.first.all_kept(), rounds.costs
    for group, info in zip(rounds.first.groups, rounds.infos, strict=True):
        alone = whole.copy()
        alone[group.channels] = rounds.alive[group.channels]
        earlier = run.groups.get(group.name)
        before = earlier.before if earlier else len(group.channels)
        after = int(alone[group.channels].sum())
        run.groups[group.name] = GroupCut(
            name=group.name,
            layers=group.layers,
            before=before,
            after=after,
            spared=why_left_alone(step, info) if before == after else None,
            params_saved=costs.params(whole) - costs.params(alone) + (earlier.params_saved if earlier else 0),
            macs_saved=costs.macs(whole) - costs.macs(alone) + (earlier.macs_saved if earlier else 0),
        )


def _asked_and_delivered(step: PruneChannels, rounds: ChannelRounds, name: str) -> list[str]:
    """What was asked for and what was removed, where these differ by more than two points."""
    what, asked = step.amount
    if what not in ("macs", "params") or step.named_only:
        return []
    removed = _removed(rounds)[what]
    if abs(removed - asked) <= 0.02:
        return []
    return [
        f"{name}: {what} {asked:.0%} was asked for, {removed:.0%} was removed, because groups keep multiples of "
        f"{step.channel_multiple} channels (channel_multiple)."
    ]


def _removed(rounds: ChannelRounds) -> dict[str, float]:
    """The shares of multiply-accumulates and parameters that the rounds removed."""
    whole, costs = rounds.first.all_kept(), {"macs": rounds.costs.macs, "params": rounds.costs.params}
    return {what: 1 - cost(rounds.alive) / (cost(whole) or 1) for what, cost in costs.items()}


def _summary(rounds: ChannelRounds) -> str:
    gone, removed = int(np.count_nonzero(~rounds.alive)), _removed(rounds)
    return (
        f"{gone:,} channels removed, {removed['macs']:.1%} of the multiply-accumulates, "
        f"{removed['params']:.1%} of the parameters"
    )
