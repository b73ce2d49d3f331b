"""Progress and history of a training, and the check that its loss is finite; for Keras 3 and tf_keras alike."""

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
    """The progress of a step."""

    progress: float
    eta_seconds: float
    epoch: int | None = None
    epochs: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None


class ProgressTracker:
    """Follows a training batch by batch and epoch by epoch, and reports its progress; ``points`` is the history."""

    def __init__(
        self,
        step_name: str,
        *,
        epochs: int,
        num_steps: int,
        sparsity: Callable[[], float],
        on_advance: Callable[[Advance], None],
    ) -> None:
        """Start at the first batch.

        Args:
            step_name: the step of the recipe, for the history and for errors.
            epochs: how many are planned.
            num_steps: training steps of all epochs together.
            sparsity: returns the sparsity of the kernels; called at the end of each epoch.
            on_advance: called with the progress, at most twice a second, and after each epoch.
        """
        self.points: list[TrainingPoint] = []
        self._step_name, self._epochs, self._total = step_name, epochs, num_steps
        self._per_epoch = num_steps // epochs
        self._sparsity, self._on_advance = sparsity, on_advance
        self._done, self._start, self._reported = 0, time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        """Duration of the training, without the time between two processes."""
        return time.monotonic() - self._start

    def resume(self, points: Sequence[TrainingPoint], *, seconds: float) -> None:
        """Continue after the last epoch of another process.

        Args:
            points: the history of that process.
            seconds: how long its training took.
        """
        self.points[:] = points
        self._done, self._start = len(points) * self._per_epoch, time.monotonic() - seconds

    def batch_ended(self, logs: Mapping[str, Any] | None) -> None:
        """Report the progress, unless the last report is less than ``REPORT_SECONDS`` old."""
        self._done += 1
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._report({name: float(value) for name, value in (logs or {}).items()})

    def epoch_ended(self, epoch: int, logs: Mapping[str, Any] | None) -> None:
        """Add a point to the history and report the progress.

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
        self._report({name: value for name, value in values.items() if name != "learning_rate"})

    def training_ended(self, kept: int | None) -> None:
        """Finish the history of a training, which may have stopped early.

        Args:
            kept: the epoch, from 0, whose weights the model ends with, if the best epoch was selected.
        """
        if self._done < self._total:
            self._total = self._done
            self._report({})
        if kept is not None:
            self.points[kept] = self.points[kept].model_copy(update={"kept": True})

    def _report(self, values: Mapping[str, float]) -> None:
        self._reported = time.monotonic()
        left = (self._reported - self._start) / self._done * (self._total - self._done)
        self._on_advance(
            Advance(
                progress=self._done / self._total,
                eta_seconds=left,
                epoch=1 + (self._done - 1) // self._per_epoch,
                epochs=self._epochs,
                metrics={name: value for name, value in values.items() if np.isfinite(value)},
            )
        )
