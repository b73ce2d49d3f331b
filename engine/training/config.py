"""How long a training goes, how fast it learns at each step, and which of its epochs counts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from secateur.specs.pruning import Constant, Iterative, Polynomial
from secateur.specs.training import Finetune, RateSchedule

LOWEST: Final = 0.01
"""What an exponential schedule ends with, as a share of what it began with."""


@dataclass(frozen=True)
class Regime:
    """What a training does beside its updates."""

    epochs: int
    learning_rate: float
    """The highest of the training."""
    schedule: RateSchedule = "constant"
    warmup: float = 0.0
    """Share of the steps in which the learning rate rises."""
    cycles: int = 1
    """How often, at equal distances, the schedule begins anew."""
    best_epoch: bool = False
    patience: int | None = None

    @classmethod
    def of(cls, step: Finetune | Constant | Polynomial | Iterative, learning_rate: float) -> "Regime":
        """What a step asks for.

        >>> Regime.of(Finetune(epochs=2), 0.1)  # doctest: +NORMALIZE_WHITESPACE
        Regime(epochs=2, learning_rate=0.1, schedule='cosine', warmup=0.05, cycles=1, best_epoch=True, patience=None)
        """
        return cls(
            step.epochs,
            step.learning_rate or learning_rate,
            step.learning_rate_schedule,
            step.warmup_share,
            step.cycles if isinstance(step, Iterative) else 1,
            step.best_epoch,
            step.patience,
        )

    def rate(self, step: int, num_steps: int) -> float:
        """The learning rate of one step of the training; steps count from 0.

        >>> [round(Regime(1, 1.0, "cosine", warmup=0.25).rate(step, 8), 3) for step in range(8)]
        [0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]

        Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983.
        """
        cycle = -(-num_steps // self.cycles)
        step, length = step % cycle, min(cycle, num_steps)
        rising = math.ceil(self.warmup * length)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * SHAPES[self.schedule]((step - rising) / (length - rising))

    def __str__(self) -> str:
        """The learning rate in words.

        >>> str(Regime(1, 0.001)), str(Regime(1, 1e-4, "cosine", warmup=0.05))
        ('learning rate 0.001', 'learning rate 0.0001, cosine, warm-up in the first 5 % of the steps')
        """
        shape = "" if self.schedule == "constant" else f", {self.schedule}"
        anew = " anew after each cut" if self.cycles > 1 and shape else ""
        warm = f", warm-up in the first {100 * self.warmup:g} % of the steps" if self.warmup else ""
        return f"learning rate {self.learning_rate:g}{shape}{anew}{warm}"


SHAPES: Final[Mapping[RateSchedule, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "exponential": lambda done: LOWEST**done,
}
"""Share of the highest learning rate, by the share of the steps behind the warm-up that is done, in [0, 1)."""


@dataclass(frozen=True)
class Held:
    """How good an epoch was on held-out samples: by the metric, and where that is the same by the loss."""

    goodness: float
    """The metric, turned so that higher is better."""
    loss: float

    def beats(self, other: "Held | None") -> bool:
        """Whether it is strictly better.

        >>> Held(0.9, 0.4).beats(Held(0.9, 0.5)), Held(0.9, 0.5).beats(Held(0.9, 0.5)), Held(0.8, 0.1).beats(None)
        (True, False, True)
        """
        return other is None or (self.goodness, -self.loss) > (other.goodness, -other.loss)


class Epochs:
    """Remembers which epoch was the best, and tells when to stop. Knows nothing of models."""

    def __init__(self, regime: Regime, *, higher_is_better: bool, since: int = 0, by_loss: bool = False) -> None:
        """Begin.

        Args:
            by_loss: whether the loss alone tells which epoch is better.
            since: the step from which epochs count; before it sparsity still rises, and an epoch is good because
                little is cut.
        """
        self.best: int | None = None
        """The best epoch that counts, from 0."""
        self.held: Held | None = None
        """How good that one was."""
        self.stopped: int | None = None
        """The epoch after which patience was lost, from 0."""
        self._regime, self._sign, self._since = regime, 1.0 if higher_is_better else -1.0, since
        self._by_loss = by_loss
        self._last: int | None = None

    def ended(self, epoch: int, step: int, logs: Mapping[str, float]) -> bool:
        """Take note of an epoch, from 0, that ended after so many steps. Returns whether it is the best so far."""
        self._last = epoch
        if step < self._since:
            return False
        goodness = 0.0 if self._by_loss else self._sign * float(logs["val_metric"])
        held = Held(goodness, float(logs["val_loss"]))
        if np.isfinite((held.goodness, held.loss)).all() and held.beats(self.held):
            self.best, self.held = epoch, held
            return True
        patience, best = self._regime.patience, self.best
        if patience is not None and best is not None and epoch - best >= patience:
            self.stopped = epoch
        return False

    def note(self, metric: str) -> str | None:
        """Why the training ended, and what came out; None when it is what anyone expects."""
        said, judge = [], "how near it is to the uploaded model" if self._by_loss else f"validation {metric}"
        if self.stopped is not None and self.best is not None:
            said.append(
                f"stopped after epoch {self.stopped + 1} of {self._regime.epochs}, because {self._regime.patience} in "
                f"a row were no better on held-out samples than epoch {self.best + 1}"
            )
        if self._regime.best_epoch and self.best not in (None, self._last):
            said.append(f"kept the weights of epoch {1 + (self.best or 0)}, the best by {judge}")
        return "; ".join(said) or None
