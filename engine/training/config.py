"""The configuration of a training: epochs, learning rates, early stopping; and the selection of the best epoch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from secateur.specs.pruning import Constant, Iterative, Polynomial
from secateur.specs.training import Finetune, RateSchedule

LOWEST: Final = 0.01
"""The last learning rate of an exponential schedule, as a share of the first."""


@dataclass(frozen=True)
class TrainingConfig:
    """Epochs, learning-rate schedule, early stopping and best-epoch selection of one training."""

    epochs: int
    learning_rate: float
    """The highest learning rate of the training."""
    schedule: RateSchedule = "constant"
    warmup: float = 0.0
    """Share of the steps over which the learning rate rises."""
    cycles: int = 1
    """How often the schedule restarts, at equal distances."""
    best_epoch: bool = False
    patience: int | None = None

    @classmethod
    def of(cls, step: Finetune | Constant | Polynomial | Iterative, learning_rate: float) -> "TrainingConfig":
        """The configuration that a step of the recipe asks for.

        >>> TrainingConfig.of(Finetune(epochs=2), 0.1)  # doctest: +NORMALIZE_WHITESPACE
        TrainingConfig(epochs=2, learning_rate=0.1, schedule='cosine', warmup=0.05, cycles=1, best_epoch=True,
        patience=None)
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

        >>> [round(TrainingConfig(1, 1.0, "cosine", warmup=0.25).rate(step, 8), 3) for step in range(8)]
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

        >>> str(TrainingConfig(1, 0.001)), str(TrainingConfig(1, 1e-4, "cosine", warmup=0.05))
        ('learning rate 0.001', 'learning rate 0.0001, cosine, warm-up in the first 5 % of the steps')
        """
        shape = "" if self.schedule == "constant" else f", {self.schedule}"
        anew = " restarted after each cut" if self.cycles > 1 and shape else ""
        warm = f", warm-up in the first {100 * self.warmup:g} % of the steps" if self.warmup else ""
        return f"learning rate {self.learning_rate:g}{shape}{anew}{warm}"


SHAPES: Final[Mapping[RateSchedule, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "exponential": lambda done: LOWEST**done,
}
"""Learning rate as a share of the highest one, by the share of the steps after warm-up that are done, in [0, 1)."""


@dataclass(frozen=True)
class EpochScore:
    """The score of an epoch on held-out samples: the metric first, then the loss."""

    score_to_maximize: float
    """The metric, negated if lower is better."""
    loss: float

    def beats(self, other: "EpochScore | None") -> bool:
        """Whether this score is strictly better.

        >>> best = EpochScore(0.9, 0.5)
        >>> EpochScore(0.9, 0.4).beats(best), EpochScore(0.9, 0.5).beats(best), EpochScore(0.8, 0.1).beats(None)
        (True, False, True)
        """
        return other is None or (self.score_to_maximize, -self.loss) > (other.score_to_maximize, -other.loss)


class EpochSelection:
    """Selects the best epoch by its scores and says when to stop early. It does not touch the model."""

    def __init__(
        self, config: TrainingConfig, *, higher_is_better: bool, since: int = 0, by_loss: bool = False
    ) -> None:
        """Start without a best epoch.

        Args:
            config: has the patience, and whether the best weights are kept.
            higher_is_better: the direction of the metric.
            since: the training step from which epochs count. Before it sparsity still rises, and an epoch scores well
                only because little is pruned.
            by_loss: whether epochs are compared by the loss alone.
        """
        self.best: int | None = None
        """The best epoch that counts, from 0."""
        self.best_score: EpochScore | None = None
        """The score of the best epoch."""
        self.stopped: int | None = None
        """The epoch after which patience ran out, from 0."""
        self._config, self._sign, self._since = config, 1.0 if higher_is_better else -1.0, since
        self._by_loss = by_loss
        self._last: int | None = None

    def epoch_ended(self, epoch: int, step: int, logs: Mapping[str, float]) -> bool:
        """Score an epoch, from 0, that ended after this many training steps. Returns whether it is the best so far."""
        self._last = epoch
        if step < self._since:
            return False
        score_to_maximize = 0.0 if self._by_loss else self._sign * float(logs["val_metric"])
        score = EpochScore(score_to_maximize, float(logs["val_loss"]))
        if np.isfinite((score.score_to_maximize, score.loss)).all() and score.beats(self.best_score):
            self.best, self.best_score = epoch, score
            return True
        patience, best = self._config.patience, self.best
        if patience is not None and best is not None and epoch - best >= patience:
            self.stopped = epoch
        return False

    def note(self, metric: str) -> str | None:
        """A sentence about early stopping and the selected epoch; None if neither applies."""
        parts, judge = [], "agreement with the uploaded model" if self._by_loss else f"validation {metric}"
        if self.stopped is not None and self.best is not None:
            parts.append(
                f"stopped early after epoch {self.stopped + 1} of {self._config.epochs}: {self._config.patience} "
                f"epochs in a row did not improve on epoch {self.best + 1} on held-out samples"
            )
        if self._config.best_epoch and self.best not in (None, self._last):
            parts.append(f"kept the weights of epoch {1 + (self.best or 0)}, the best by {judge}")
        return "; ".join(parts) or None
