"""The prune step that takes channels away: score, plan, build the smaller model, repair it, train it, and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import keras
import numpy as np

from engine.arrays import Mask
from engine.inspection.summary import summarise
from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.run.context import Job
from engine.steps.channel_rounds import Course, OnAdvance, Progress, go_on, kept, rounds_of, timings_kept
from engine.steps.channel_scores import scores_of
from engine.steps.finetune import RETRAIN, train_on
from engine.structured.groups import channels_of
from engine.structured.latency import Timings, measure
from engine.structured.planning import Cost, cuttable, plan
from engine.structured.reconstruct import fold, mean_shifts, solve_readers
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


def prune_channels(job: Job, step: PruneChannels, name: str, on_advance: OnAdvance) -> str:
    """Take channels away, in as many rounds as the schedule has.

    Raises:
        NothingToPrune, TargetUnreachable: what only the model itself can tell.
        StructureMismatch: a later step's blocks do not divide the kernels that are left.
    """
    rounds, timings = rounds_of(step), timings_of(job, step)
    told = Progress(on_advance, parts=len(rounds))
    with timings_kept(job, timings):
        course = begin(job, step, timings)
        begun = go_on(job, course)
        for number, each in list(enumerate(rounds))[max(begun, 0) :]:
            cut = 0.2 if each.epochs else 1.0
            if number != begun:
                _cut(job, step, course, each.progress, told.within(number, 0.0, cut))
            if each.epochs:
                with kept(job, course, number):
                    _train(job, step, name, each.epochs, told.within(number, cut, 1.0))
    _record(job, step, course)
    check_later(job, step, job.model)
    return _summary(course)


def timings_of(job: Job, step: PruneChannels) -> Timings | None:
    """What a target for latency counts by: timed now, or by the process that began the step."""
    if step.amount[0] != "latency":
        return None
    if (earlier := job.checkpoint.restore("timings")) is not None:
        return Timings.from_state_dict(earlier)
    quantize = next((each for each in job.recipe.steps if isinstance(each, Quantize)), Quantize(scheme="none"))
    return measure(job.model, quantize.scheme, inputs=job.calibration(1))


def begin(job: Job, step: PruneChannels, timings: Timings | None) -> Course:
    """Find the groups that a step cuts, and check that it can reach what it asks for.

    Args:
        timings: what ``timings_of`` the step finds.

    Raises:
        NothingToPrune, TargetUnreachable: it cannot.
    """
    first = channels_of(job.model)
    costs = Costs.of(first)
    infos = group_infos(costs)
    with _blamed_on(job, step):
        groups, alive = cuttable(first, infos, step), first.all_kept()
        course = Course(first, first, costs, infos, groups, _cost(job, step, costs, timings), alive)
        if not job.checkpoint.is_resumed and final(course, step).all():
            raise _nothing_goes(course, step)
    return course


def _nothing_goes(course: Course, step: PruneChannels) -> NothingToPrune:
    widths = ", ".join(f"{each.group.name} {each.width}" for each in course.groups)
    return NothingToPrune(
        f"No channel would go. Each group keeps the nearest multiple of {step.channel_multiple}, and that is all that "
        f"it has: {widths}.",
        suggestions=[
            f"Raise {step.amount[0]}.",
            *(["Lower channel_multiple."] if step.channel_multiple > 1 else []),
        ],
    )


def final(course: Course, step: PruneChannels) -> Mask:
    """The channels that would stay in the end if all of a group were worth the same."""
    return plan(course.groups, step, np.ones(len(course.alive)), course.alive, cost=course.cost)


def check_later(job: Job, step: PruneChannels, small: Any) -> None:
    """Hold the steps behind this one, up to the next that changes shapes, against the model that it leaves.

    Raises:
        StructureMismatch: blocks do not divide what is left of a kernel.
    """
    place = _place(job, step)
    if place is None:
        return
    later = list(enumerate(job.recipe.steps))[place + 1 :]
    shaped = takewhile(lambda each: not isinstance(each[1], PruneChannels), later)
    if asking := [(number, each) for number, each in shaped if isinstance(each, Prune) and has_pattern(each)]:
        summary = summarise(small)
        for number, each in asking:
            check_structure(each, summary, field=f"steps.{number}.")


def has_pattern(step: Step) -> bool:
    """Whether a step cuts blocks at fixed places of a kernel, which must divide its shape."""
    return isinstance(step, Prune) and step.structure in ("block", "n_m")


@contextmanager
def _blamed_on(job: Job, step: PruneChannels) -> Iterator[None]:
    """Let what is refused name the field of the spec that asks for it."""
    try:
        yield
    except (NothingToPrune, TargetUnreachable) as error:
        if (place := _place(job, step)) is not None and not error.errors:
            amount = f".{step.amount[0]}" if isinstance(error, TargetUnreachable) else ""
            error.errors = (FieldError(field=f"steps.{place}{amount}", messages=(error.detail,)),)
        raise


def _place(job: Job, step: PruneChannels) -> int | None:
    """Which of the recipe's steps it is."""
    return next((place for place, each in enumerate(job.recipe.steps) if each is step), None)


def _cost(job: Job, step: PruneChannels, costs: Costs, timings: Timings | None) -> Cost:
    if timings is not None:
        table = timings.table(job.model)
        return lambda kept: table.milliseconds(costs.sizes(kept))
    return costs.params if step.amount[0] == "params" else costs.macs


def _cut(job: Job, step: PruneChannels, course: Course, progress: float, on_progress: Callable[[float], None]) -> None:
    """One cut, and its repair. The job's model is a smaller one afterwards."""
    keras.utils.set_random_seed(job.recipe.seed)  # new layers draw seeds of their own, in any process the same
    now = course.now
    names = {each.group.name for each in course.groups}
    groups = [group for group in now.groups if group.name in names]
    scores = scores_of(job, now, groups, step, lambda share: on_progress(share / 2))
    kept = plan(course.groups, step, scores, course.alive, cost=course.cost, progress=progress)
    samples = job.samples(step.reconstruct_samples)
    missed = {} if step.reconstruct else mean_shifts(now, kept, samples)
    course.now, course.alive = narrow(now, kept), kept
    small = course.now.trace.model
    assert small.count_params() == course.costs.params(kept), "what was planned was built"
    masks = Masks(prunable_kernels(small))
    if step.reconstruct:
        notes = solve_readers(now, kept, small, masks, samples, lambda share: on_progress((1 + share) / 2))
    else:
        notes = fold(missed, now, kept, small)
    _take(job, small, masks)
    job.notes += [note for note in notes if note not in job.notes]
    job.refresh_statistics()


def _take(job: Job, small: Any, masks: Masks) -> None:
    """The job goes on with the smaller model; of zeros that earlier steps made, those that are left are promised."""
    job.model, job.masks = small, masks
    for name in job.targets:
        job.targets[name] = min(job.targets[name], masks.sparsity([name]))
        job.num_groups.pop(name, None)


def _train(job: Job, step: PruneChannels, name: str, epochs: int, on_progress: Callable[[float], None]) -> None:
    assert not isinstance(step.schedule, OneShot), "it does not train"
    before = len(job.history)
    done = sum(point.step == name for point in job.history)
    course = Constant(epochs=epochs, **step.schedule.model_dump(include=set(Trained.model_fields)))
    rate = job.learning_rate * RETRAIN  # what is repaired is near its goal
    train_on(job, name, course, rate, lambda at: on_progress(at.progress))
    job.history[before:] = [point.model_copy(update={"epoch": done + point.epoch}) for point in job.history[before:]]
    job.refresh_statistics()


def _record(job: Job, step: PruneChannels, course: Course) -> None:
    """Put into the job what became of each group, for the report, beside what earlier steps have done to it."""
    whole, costs = course.first.all_kept(), course.costs
    for group, info in zip(course.first.groups, course.infos, strict=True):
        alone = whole.copy()
        alone[group.channels] = course.alive[group.channels]
        earlier = job.groups.get(group.name)
        before = earlier.before if earlier else len(group.channels)
        after = int(alone[group.channels].sum())
        job.groups[group.name] = GroupCut(
            name=group.name,
            layers=group.layers,
            before=before,
            after=after,
            spared=why_left_alone(step, info) if before == after else None,
            params_saved=costs.params(whole) - costs.params(alone) + (earlier.params_saved if earlier else 0),
            macs_saved=costs.macs(whole) - costs.macs(alone) + (earlier.macs_saved if earlier else 0),
        )


def _summary(course: Course) -> str:
    costs, whole = course.costs, course.first.all_kept()
    macs, params = (1 - cost(course.alive) / (cost(whole) or 1) for cost in (costs.macs, costs.params))
    gone = int(np.count_nonzero(~course.alive))
    return f"{gone:,} channels gone, {macs:.1%} of the multiply-accumulates, {params:.1%} of the parameters"
