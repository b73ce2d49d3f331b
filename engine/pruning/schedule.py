"""Schedules: the sparsity of a model at each training step, planned from the length of the training.

Users never choose how often masks change: at least ``MIN_UPDATES`` times when there are that many steps,
and always at the step where the full sparsity is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from secateur.specs.pruning import Constant, Iterative, OneShot, Polynomial

MIN_UPDATES = 20
MAX_UPDATES = 40


@dataclass(frozen=True)
class MaskUpdate:
    """An update of the masks to ``sparsity`` after ``step`` training steps, counted from the prune step's start."""

    step: int
    sparsity: float


def plan(
    schedule: OneShot | Constant | Polynomial | Iterative, sparsity: float, *, num_steps: int, existing: float = 0.0
) -> tuple[MaskUpdate, ...]:
    """Return the mask updates of a schedule, in order; the last one has the full sparsity.

    Args:
        schedule: of the prune step.
        sparsity: the final sparsity.
        num_steps: training steps of the whole prune step; 0 for a step that does not train.
        existing: sparsity that the model already has, where cycles start.

    >>> plan(OneShot(), 0.5, num_steps=0)
    (MaskUpdate(step=0, sparsity=0.5),)
    >>> [cut.step for cut in plan(Polynomial(ramp=0.5), 0.8, num_steps=10)]
    [1, 2, 3, 4, 5]
    >>> plan(Iterative(cycles=2), 0.75, num_steps=100)
    (MaskUpdate(step=0, sparsity=0.5), MaskUpdate(step=50, sparsity=0.75))
    """
    match schedule:
        case OneShot():
            return (MaskUpdate(0, sparsity),)
        case Constant():
            again = update_steps(max(1, round(num_steps / 2))) if schedule.recoverable else ()
            return (MaskUpdate(0, sparsity), *(MaskUpdate(step, sparsity) for step in again))
        case Polynomial():
            end = max(1, round(schedule.ramp * num_steps))
            return tuple(
                MaskUpdate(step, cubic(step / end, initial=schedule.initial_sparsity, final=sparsity))
                for step in update_steps(end)
            )
        case Iterative():
            starts = (round(cycle * num_steps / schedule.cycles) for cycle in range(schedule.cycles))
            return tuple(
                MaskUpdate(
                    start, geometric((cycle + 1) / schedule.cycles, initial=min(existing, sparsity), final=sparsity)
                )
                for cycle, start in enumerate(starts)
            )
        case _:
            assert_never(schedule)


def cubic(progress: float, *, initial: float, final: float) -> float:
    """Return the sparsity at a share ``progress`` (0 to 1) of the ramp: fast at first, slow towards the end.

    >>> cubic(0.0, initial=0.5, final=0.9), cubic(1.0, initial=0.5, final=0.9)
    (0.5, 0.9)

    Zhu & Gupta 2017, "To prune, or not to prune" (arXiv:1710.01878), equation 1.
    """
    return final + (initial - final) * (1.0 - progress) ** 3


def geometric(progress: float, *, initial: float, final: float) -> float:
    """Return the sparsity at a share ``progress`` (0 to 1) when each round keeps the same share of remaining weights.

    >>> geometric(0.5, initial=0.0, final=0.75), geometric(1.0, initial=0.3, final=0.9)
    (0.5, 0.9)

    Frankle & Carbin 2019, "The Lottery Ticket Hypothesis" (arXiv:1803.03635), prune the same share in every round.
    """
    if progress >= 1.0:
        return final
    return float(1.0 - (1.0 - initial) * ((1.0 - final) / (1.0 - initial)) ** progress)


def update_steps(end: int) -> Sequence[int]:
    """Return the steps at which masks change: evenly spread over 1 to ``end``, ``end`` itself always among them.

    >>> update_steps(3)
    [1, 2, 3]
    >>> len(update_steps(100)), len(update_steps(10_000)), update_steps(10_000)[-1]
    (40, 40, 10000)
    """
    return [int(step) for step in np.unique(np.round(np.linspace(1, end, min(end, MAX_UPDATES))).astype(int))]
