"""Keras callbacks of a training: pruning, learning rates, the best weights, progress, checkpoints."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.pruning.schedule import MaskUpdate
from engine.training.config import EpochSelection, TrainingConfig
from engine.training.progress import ProgressTracker


class PruningCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``cut`` after the planned training steps; step 0 is before the first."""

    def __init__(self, cuts: Sequence[MaskUpdate], cut: Callable[[float], None], *, done: int = 0) -> None:
        """Plan the cuts.

        Args:
            cuts: the planned steps and their sparsities.
            cut: called with each sparsity.
            done: training steps that an earlier process has run, with their cuts.
        """
        super().__init__()
        self._due = {planned.step: planned.sparsity for planned in cuts}
        self._cut, self._step = cut, done

    def on_train_begin(self, logs: Any = None) -> None:
        if self._step == 0 and 0 in self._due:
            self._cut(self._due[0])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1
        if self._step in self._due:
            self._cut(self._due[self._step])


class LearningRateCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate before each training step and logs it at the end of each epoch."""

    def __init__(self, config: TrainingConfig, num_steps: int, *, done: int = 0) -> None:
        super().__init__()
        self._config, self._total, self._step = config, num_steps, done

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._rate = self._config.rate(self._step, self._total)
        self.model.optimizer.learning_rate = self._rate
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self._rate


class BestWeightsCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Stores the weights of the best epoch, loads them at the end, and stops early when patience runs out.

    Masks do not change after the last cut, so the weights of every epoch that counts have the same zeros.
    """

    def __init__(self, selection: EpochSelection, config: TrainingConfig, *, done: int = 0) -> None:
        """Start before the first epoch.

        Args:
            done: training steps that an earlier process has run.
        """
        super().__init__()
        self.stores_best = config.best_epoch
        self.weights: list[Array] | None = None
        """The weights of the best epoch so far, if they are stored."""
        self._selection, self._step, self._last = selection, done, -1

    @property
    def kept(self) -> int | None:
        """The epoch whose weights the model ends with, from 0; None if the best epoch is not selected."""
        return self._selection.best if self.stores_best else None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._last = epoch
        if self._selection.epoch_ended(epoch, self._step, logs or {}) and self.stores_best:
            self.weights = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.weights]
        if self._selection.stopped is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self.weights is not None and self._selection.best != self._last:
            for variable, values in zip(self.model.weights, self.weights, strict=True):
                variable.assign(values)


class ProgressCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Passes every batch and epoch on to a progress tracker."""

    def __init__(self, tracker: ProgressTracker) -> None:
        super().__init__()
        self._tracker = tracker

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._tracker.batch_ended(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tracker.epoch_ended(epoch, logs)


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``save_if_due`` after each epoch but the last. It must be the last callback: the others act first."""

    def __init__(self, save_if_due: Callable[[], None], *, last: int) -> None:
        super().__init__()
        self._save_if_due, self._last = save_if_due, last

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self._last and not self.model.stop_training:
            self._save_if_due()
