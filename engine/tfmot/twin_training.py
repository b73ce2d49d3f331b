"""Train a tf_keras twin as ``train`` trains a Keras 3 model: the same batches, loss, optimiser and events.

tf_keras has its own losses, metrics, optimisers and callbacks; each is built from the settings of the Keras 3 one.
Only the functions that need ``tf_keras`` import it.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from engine.bridge.twin import NATIVE
from engine.training.config import TrainingConfig
from engine.training.context import TrainingContext
from engine.training.progress import ProgressTracker
from engine.training.train import fit, progress_tracker
from secateur.errors import BridgeRefused
from secateur.reports.report import TrainingPoint


def optimizer_twin(optimizer: Any) -> Any:
    """A tf_keras optimiser of the same kind, with the settings that tf_keras knows.

    Raises:
        BridgeRefused: tf_keras has no optimiser of that kind.
    """
    import tf_keras

    kind = getattr(tf_keras.optimizers, type(optimizer).__name__, None)
    if kind is None:
        raise BridgeRefused(
            f"tf_keras, which TFMOT needs, has no optimizer {type(optimizer).__name__}.",
            suggestions=['Set training.optimizer, for instance to "adam".', NATIVE],
        )
    return kind(**_shared_settings(optimizer, kind))


def loss_twin(loss: Any) -> Any:
    """The tf_keras loss of the same name and settings; ``loss`` is a Keras 3 loss object."""
    import tf_keras

    kind = getattr(tf_keras.losses, type(loss).__name__)
    return kind(**_shared_settings(loss, kind))


def metric_twin(metric: Any) -> Any:
    """The tf_keras metric of the same name and settings."""
    import tf_keras

    kind = getattr(tf_keras.metrics, type(metric).__name__)
    return kind(**_shared_settings(metric, kind))


def _shared_settings(ours: Any, kind: Any) -> dict[str, Any]:
    known = set(inspect.signature(kind.__init__).parameters) - {"self", "dtype"}
    return {key: value for key, value in ours.get_config().items() if key in known and value is not None}


def train_twin(
    context: TrainingContext, *, callbacks: Sequence[Any], sparsity: Callable[[], float]
) -> list[TrainingPoint]:
    """Train a twin in place. TFMOT's wrappers hold its zeros, not the masks of the context.

    Args:
        context: its model is the one of the twin.
        callbacks: of tf_keras; they run before the one that keeps the history.
        sparsity: returns the sparsity of the kernels; called at the end of each epoch.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    objective = context.objective.head
    context.model.compile(
        optimizer=optimizer_twin(context.optimizer),
        loss=loss_twin(objective.loss),
        metrics=[metric_twin(metric) for metric in [objective.keras_metric()] if metric is not None],
    )
    tracker = progress_tracker(context, sparsity)
    reporting = _progress_callback(tracker, context.config, context.num_steps)
    fit(context, [*callbacks, reporting], epochs=range(context.config.epochs))
    return tracker.points


def _progress_callback(tracker: ProgressTracker, config: TrainingConfig, num_steps: int) -> Any:
    """A tf_keras callback that sets the learning rate of every step and passes batches and epochs to a tracker."""
    import tf_keras

    class ProgressCallback(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._supports_tf_logs = True  # otherwise every step waits until its loss is read
            self._step, self._rate = 0, 0.0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self._rate = config.rate(self._step, num_steps)
            self.model.optimizer.learning_rate = self._rate
            self._step += 1

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            tracker.batch_ended(logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            tracker.epoch_ended(epoch, {**(logs or {}), "learning_rate": self._rate})

    return ProgressCallback()
