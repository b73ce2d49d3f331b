"""What happens during a ``fit``, each a Keras callback: cuts, learning rates, the choice of an epoch, the report."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.pruning.schedule import Cut
from engine.training.config import Epochs, Regime
from engine.training.progress import Watch


class Cutter(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``cut`` after the steps that the plan names; 0 is before the first."""

    def __init__(self, cuts: Sequence[Cut], cut: Callable[[float], None], *, done: int = 0) -> None:
        """Begin.

        Args:
            done: steps that an earlier process has taken, with their cuts.
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


class Rates(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate before each step, and tells it with the values of the epoch."""

    def __init__(self, regime: Regime, num_steps: int, *, done: int = 0) -> None:
        super().__init__()
        self._regime, self._total, self._step = regime, num_steps, done

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._rate = self._regime.rate(self._step, self._total)
        self.model.optimizer.learning_rate = self._rate
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self._rate


class Choice(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best epoch, puts them back at the end, and stops when patience is lost.

    Masks stay as they are after the last cut, and so do the zeros of all the epochs that count.
    """

    def __init__(self, epochs: Epochs, regime: Regime, *, done: int = 0) -> None:
        super().__init__()
        self.keeps = regime.best_epoch
        self.weights: list[Array] | None = None
        """Those of the best epoch so far, when they are kept."""
        self._epochs, self._step, self._last = epochs, done, -1

    @property
    def kept(self) -> int | None:
        """The epoch of which the weights came out, when it was chosen."""
        return self._epochs.best if self.keeps else None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._last = epoch
        if self._epochs.ended(epoch, self._step, logs or {}) and self.keeps:
            self.weights = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.weights]
        if self._epochs.stopped is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self.weights is not None and self._epochs.best != self._last:
            for variable, values in zip(self.model.weights, self.weights, strict=True):
                variable.assign(values)


class Watched(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a watch of every batch and epoch."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._watch.batch_ended(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._watch.epoch_ended(epoch, logs)


class Milestones(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``reached`` after each epoch that another follows. Goes last: what others do at its end is done by then."""

    def __init__(self, reached: Callable[[], None], *, last: int) -> None:
        super().__init__()
        self._reached, self._last = reached, last

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self._last and not self.model.stop_training:
            self._reached()
