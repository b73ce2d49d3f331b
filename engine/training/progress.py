"""How far a training is, its history, and whether it goes anywhere: the same whichever library trains."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from secateur.errors import TrainingDiverged
from secateur.reports.report import TrainingPoint

REPORT_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Advance:
    """How far a step is."""

    progress: float
    eta_seconds: float
    epoch: int | None = None
    epochs: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None


class Watch:
    """Told of every batch and epoch by a callback; ``points`` is the history."""

    def __init__(
        self,
        step_name: str,
        *,
        epochs: int,
        num_steps: int,
        sparsity: Callable[[], float],
        on_advance: Callable[[Advance], None],
    ) -> None:
        """Begin to watch.

        Args:
            num_steps: of all epochs together.
            sparsity: of the kernels, asked at the end of each epoch.
        """
        self.points: list[TrainingPoint] = []
        self._step_name, self._epochs, self._total = step_name, epochs, num_steps
        self._per_epoch = num_steps // epochs
        self._sparsity, self._on_advance = sparsity, on_advance
        self._done, self._start, self._told = 0, time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        """Since the training began, without the time in which nobody went on with it."""
        return time.monotonic() - self._start

    def go_on(self, points: Sequence[TrainingPoint], *, seconds: float) -> None:
        """Go on where another process was at the end of an epoch.

        Args:
            seconds: how long that had taken.
        """
        self.points[:] = points
        self._done, self._start = len(points) * self._per_epoch, time.monotonic() - seconds

    def batch_ended(self, logs: Mapping[str, Any] | None) -> None:
        """Tell, unless that was done a moment ago."""
        self._done += 1
        if time.monotonic() - self._told > REPORT_SECONDS:
            self._tell({name: float(value) for name, value in (logs or {}).items()})

    def epoch_ended(self, epoch: int, logs: Mapping[str, Any] | None) -> None:
        """Keep a point of the history.

        Args:
            epoch: counted from 0.

        Raises:
            TrainingDiverged: the loss became NaN or infinite.
        """
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(np.isfinite, values.values())):
            raise TrainingDiverged(
                f"The loss became NaN or infinite in epoch {epoch + 1} of {self._step_name}.",
                suggestions=["Choose a learning_rate ten times smaller.", "Check that data.scale fits the model."],
            )
        self.points.append(
            TrainingPoint(
                step=self._step_name,
                epoch=epoch + 1,
                loss=values["loss"],
                val_loss=values["val_loss"],
                val_metric=values["val_metric"],
                sparsity=self._sparsity(),
                learning_rate=values.get("learning_rate"),
            )
        )
        self._tell({name: value for name, value in values.items() if name != "learning_rate"})

    def ended(self, kept: int | None) -> None:
        """The training is over, maybe before its time.

        Args:
            kept: the epoch, from 0, of which the weights came out, when it was chosen.
        """
        if self._done < self._total:
            self._total = self._done
            self._tell({})
        if kept is not None:
            self.points[kept] = self.points[kept].model_copy(update={"kept": True})

    def _tell(self, values: Mapping[str, float]) -> None:
        self._told = time.monotonic()
        left = (self._told - self._start) / self._done * (self._total - self._done)
        self._on_advance(
            Advance(
                progress=self._done / self._total,
                eta_seconds=left,
                epoch=1 + (self._done - 1) // self._per_epoch,
                epochs=self._epochs,
                metrics={name: value for name, value in values.items() if np.isfinite(value)},
            )
        )
