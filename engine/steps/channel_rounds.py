"""A channel step under way: its rounds, what it knows of the model, how far it is, where another process goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from engine.arrays import Mask
from engine.checkpoint.sections import as_array, from_array
from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.pruning.schedule import plan as cuts_of
from engine.run.context import Job
from engine.run.snapshot import job_state, load_job_state
from engine.structured.groups import Channels
from engine.structured.latency import Timings
from engine.structured.planning import Cost, Cuttable
from engine.structured.savings import Costs
from engine.structured.surgery import narrow
from engine.training.progress import Advance
from secateur.reports.summaries import ChannelGroup
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import OneShot, Polynomial

OnAdvance = Callable[[Advance], None]


@dataclass(frozen=True)
class Round:
    """A cut, and the training that follows it."""

    progress: float
    """How much of what the step asks for is cut by then."""
    epochs: int


def rounds_of(step: PruneChannels) -> list[Round]:
    """When the step cuts. Shapes change, so that cuts fall between epochs.

    >>> rounds_of(PruneChannels(sparsity=0.5))
    [Round(progress=1.0, epochs=0)]
    >>> [round.epochs for round in rounds_of(PruneChannels(sparsity=0.5, schedule=Polynomial(epochs=4, ramp=0.5)))]
    [1, 3]
    """
    schedule, amount = step.schedule, step.amount[1]
    if isinstance(schedule, OneShot):
        return [Round(1.0, 0)]
    cuts = cuts_of(schedule, amount, num_steps=schedule.epochs)
    early = 1 if isinstance(schedule, Polynomial) else 0  # it cuts after a step; here the step is the epoch behind
    starts = [cut.step - early for cut in cuts] + [schedule.epochs]
    return [Round(cut.sparsity / amount, starts[number + 1] - starts[number]) for number, cut in enumerate(cuts)]


@dataclass
class Course:
    """A step under way. Channels keep their numbers, however often the model is cut."""

    first: Channels
    now: Channels
    """Those of the job's model as it is."""
    costs: Costs
    infos: tuple[ChannelGroup, ...]
    groups: list[Cuttable]
    cost: Cost
    alive: Mask
    """The channels that are still there."""


@contextmanager
def timings_kept(job: Job, timings: Timings | None) -> Iterator[None]:
    """While the block cuts, another process would cut by the times that were measured here."""
    if timings is None:
        yield
        return
    with job.checkpoint.section("timings", timings.state_dict):
        job.checkpoint.save_if_due()
        yield


def kept(job: Job, course: Course, number: int) -> AbstractContextManager[None]:
    """While the block trains what a round has cut, another process would begin behind that cut.

    Args:
        number: of the round, from 0.
    """
    return job.checkpoint.restart_point(
        "course", lambda: {"round": as_array(number), "alive": course.alive, **job_state(job)}
    )


def go_on(job: Job, course: Course) -> int:
    """Put a step that has begun where another process was. Returns the round that was cut there last, or -1."""
    section = job.checkpoint.restore("course")
    if section is None:
        return -1
    course.alive = section["alive"]
    course.now = narrow(course.first, course.alive)
    job.model = course.now.trace.model
    job.masks = Masks(prunable_kernels(job.model))
    load_job_state(section, job)
    return int(from_array(section["round"]))


class Progress:
    """Turns what parts of rounds tell of themselves into the progress of a step."""

    def __init__(self, on_advance: OnAdvance, *, parts: int) -> None:
        self._on_advance, self._parts, self._began = on_advance, parts, time.monotonic()

    def within(self, part: int, start: float, end: float) -> Callable[[float], None]:
        """A listener for a stretch of one part."""

        def tell(share: float) -> None:
            progress = (part + start + (end - start) * share) / self._parts
            if progress > 0:
                elapsed = time.monotonic() - self._began
                self._on_advance(Advance(min(progress, 1.0), elapsed * (1 - progress) / progress))

        return tell
