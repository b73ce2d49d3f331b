"""The rounds of a step that prunes channels: their plan, state, progress and checkpoints."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from engine.arrays import Mask
from engine.checkpoint.sections import as_array, from_array
from engine.pruning.masking import Masks
from engine.pruning.schedule import plan as cuts_of
from engine.run.context import Run
from engine.run.snapshot import load_run_state, run_state
from engine.structured.groups import Channels
from engine.structured.latency import Timings
from engine.structured.planning import Cost, PrunableGroup
from engine.structured.savings import Costs
from engine.structured.surgery import narrow
from engine.training.progress import Advance
from secateur.reports.summaries import ChannelGroup
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import OneShot, Polynomial

OnAdvance = Callable[[Advance], None]


@dataclass(frozen=True)
class Round:
    """One cut and the training that follows it."""

    progress: float
    """The share of the step's target that is reached after the cut."""
    epochs: int


def rounds_of(step: PruneChannels) -> list[Round]:
    """The cuts of a step and the epochs between them. A cut changes shapes, so it must fall between epochs.

    >>> rounds_of(PruneChannels(sparsity=0.5))
    [Round(progress=1.0, epochs=0)]
    >>> [round.epochs for round in rounds_of(PruneChannels(sparsity=0.5, schedule=Polynomial(epochs=4, ramp=0.5)))]
    [1, 3]
    """
    schedule, amount = step.schedule, step.amount[1]
    if isinstance(schedule, OneShot):
        return [Round(1.0, 0)]
    cuts = cuts_of(schedule, amount, num_steps=schedule.epochs)
    early = 1 if isinstance(schedule, Polynomial) else 0  # its cut follows a training step, here the epoch before
    starts = [cut.step - early for cut in cuts] + [schedule.epochs]
    return [Round(cut.sparsity / amount, starts[number + 1] - starts[number]) for number, cut in enumerate(cuts)]


@dataclass
class ChannelRounds:
    """The state of a running step. Channels keep the numbers of the first model, however often it is cut."""

    first: Channels
    now: Channels
    """The channels of the job's current model."""
    costs: Costs
    infos: tuple[ChannelGroup, ...]
    groups: list[PrunableGroup]
    cost: Cost
    alive: Mask
    """The channels that remain."""


@contextmanager
def timings_checkpoint(run: Run, timings: Timings | None) -> Iterator[None]:
    """While the block runs, checkpoints hold the measured timings, so that a resumed job cuts by the same ones."""
    if timings is None:
        yield
        return
    with run.context.checkpoint.section("timings", timings.state_dict):
        run.context.checkpoint.save_if_due()
        yield


def round_checkpoint(run: Run, rounds: ChannelRounds, number: int) -> AbstractContextManager[None]:
    """While the block trains the model of a round, a resumed job continues after the cut of that round.

    Args:
        number: of the round, from 0.
    """
    return run.context.checkpoint.restart_point(
        "course", lambda: {"round": as_array(number), "alive": rounds.alive, **run_state(run)}
    )


def resume_rounds(run: Run, rounds: ChannelRounds) -> int:
    """Continue the rounds of an earlier process. Returns the last round that it cut, or -1."""
    section = run.context.checkpoint.restore("course")
    if section is None:
        return -1
    rounds.alive = section["alive"]
    rounds.now = narrow(rounds.first, rounds.alive)
    run.model = rounds.now.trace.model
    run.masks = Masks.of(run.model)
    load_run_state(section, run)
    return int(from_array(section["round"]))


class RoundProgress:
    """Turns the progress of the rounds into the progress of the step."""

    def __init__(self, on_advance: OnAdvance, *, parts: int) -> None:
        self._on_advance, self._parts, self._began = on_advance, parts, time.monotonic()

    def within(self, part: int, start: float, end: float) -> Callable[[float], None]:
        """A callback for one stretch of one round."""

        def report(share: float) -> None:
            progress = (part + start + (end - start) * share) / self._parts
            if progress > 0:
                elapsed = time.monotonic() - self._began
                self._on_advance(Advance(min(progress, 1.0), elapsed * (1 - progress) / progress))

        return report
