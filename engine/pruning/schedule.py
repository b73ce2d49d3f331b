"""Schedules: how sparse a model is at which training step, planned from the length of the training.

Users never choose how often masks change: at least ``MIN_UPDATES`` times when there are that many steps,
and always once more at the step where the full sparsity is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from secateur.specs.pruning import Constant, Iterative, OneShot, Polynomial

MIN_UPDATES = 20
MAX_UPDATES = 40


@dataclass(frozen=True)
class Cut:
    """After ``step`` training steps, a sparsity of ``sparsity`` (both from the start of the prune step)."""

    step: int
    sparsity: float


def plan(
    schedule: OneShot | Constant | Polynomial | Iterative, sparsity: float, *, num_steps: int, existing: float = 0.0
) -> tuple[Cut, ...]:
    """The cuts to make, in order; the last one has the full sparsity.

    Args:
        sparsity: the final sparsity.
        num_steps: training steps of the whole prune step; 0 for one that does not train.
        existing: sparsity that the model has already, from which cycles go on.

    >>> plan(OneShot(), 0.5, num_steps=0)
    (Cut(step=0, sparsity=0.5),)
    >>> [cut.step for cut in plan(Polynomial(ramp=0.5), 0.8, num_steps=10)]
    [1, 2, 3, 4, 5]
    >>> plan(Iterative(cycles=2), 0.75, num_steps=100)
    (Cut(step=0, sparsity=0.5), Cut(step=50, sparsity=0.75))
    """
    match schedule:
        case OneShot():
            return (Cut(0, sparsity),)
        case Constant():
            again = update_steps(max(1, round(num_steps / 2))) if schedule.recoverable else ()
            return (Cut(0, sparsity), *(Cut(step, sparsity) for step in again))
        case Polynomial():
            end = max(1, round(schedule.ramp * num_steps))
            return tuple(
                Cut(step, cubic(step / end, initial=schedule.initial_sparsity, final=sparsity))
                for step in update_steps(end)
            )
        case Iterative():
            starts = (round(cycle * num_steps / schedule.cycles) for cycle in range(schedule.cycles))
            return tuple(
                Cut(start, geometric((cycle + 1) / schedule.cycles, initial=min(existing, sparsity), final=sparsity))
                for cycle, start in enumerate(starts)
            )
        case _:
            assert_never(schedule)


def cubic(progress: float, *, initial: float, final: float) -> float:
    """Sparsity at a share ``progress`` (0 to 1) of the ramp: fast at first, gentle towards the end.

    >>> cubic(0.0, initial=0.5, final=0.9), cubic(1.0, initial=0.5, final=0.9)
    (0.5, 0.9)

    Zhu & Gupta 2017, "To prune, or not to prune" (arXiv:1710.01878), equation 1.
    """
    return final + (initial - final) * (1.0 - progress) ** 3


def geometric(progress: float, *, initial: float, final: float) -> float:
    """Sparsity at a share ``progress`` of the way when each part of it keeps the same share of what is left.

    >>> geometric(0.5, initial=0.0, final=0.75), geometric(1.0, initial=0.3, final=0.9)
    (0.5, 0.9)

    Frankle & Carbin 2019, "The Lottery Ticket Hypothesis" (arXiv:1803.03635), cut the same share in every round.
    """
    if progress >= 1.0:
        return final
    return float(1.0 - (1.0 - initial) * ((1.0 - final) / (1.0 - initial)) ** progress)


def update_steps(end: int) -> Sequence[int]:
    """Steps at which masks change: evenly spread over 1 to ``end``, ``end`` itself always among them.

    >>> update_steps(3)
    [1, 2, 3]
    >>> len(update_steps(100)), len(update_steps(10_000)), update_steps(10_000)[-1]
    (40, 40, 10000)
    """
    return [int(step) for step in np.unique(np.round(np.linspace(1, end, min(end, MAX_UPDATES))).astype(int))]
