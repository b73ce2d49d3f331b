"""Training a tf_keras twin the way ``train`` trains a Keras 3 model: same batches, loss, optimiser, events.

tf_keras has its own losses, metrics, optimisers and callbacks; each is made here from the settings of ours.
``tf_keras`` is imported by the functions that need it, never before.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from engine.bridge.twin import NATIVE, Twin
from engine.data.feed import Feeding
from engine.data.split import Dataset
from engine.objectives.objective import Objective
from engine.training.config import Regime
from engine.training.progress import Advance, Watch
from engine.training.train import fit, num_steps
from secateur.errors import BridgeRefused
from secateur.reports.report import TrainingPoint
from secateur.specs.training import Training


def optimizer_twin(optimizer: Any) -> Any:
    """A tf_keras optimiser of the same kind, with those of the settings that tf_keras knows.

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
    twin: Twin,
    dataset: Dataset,
    feed: Feeding,
    objective: Objective,
    *,
    step_name: str,
    regime: Regime,
    training: Training,
    optimizer: Any,
    seed: int,
    callbacks: Sequence[Any],
    sparsity: Callable[[], float],
    on_advance: Callable[[Advance], None],
) -> list[TrainingPoint]:
    """Train a twin in place.

    Args:
        optimizer: one of Keras 3, see ``engine.training.train.make_optimizer``.
        callbacks: of tf_keras; they go before the one that keeps the history.
        sparsity: of the kernels, asked at the end of each epoch.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    twin.model.compile(
        optimizer=optimizer_twin(optimizer),
        loss=loss_twin(objective.loss),
        metrics=[metric_twin(metric) for metric in [objective.keras_metric()] if metric is not None],
    )
    total = num_steps(dataset, batch_size=training.batch_size, epochs=regime.epochs)
    watch = Watch(step_name, epochs=regime.epochs, num_steps=total, sparsity=sparsity, on_advance=on_advance)
    fit(
        twin.model,
        dataset,
        feed,
        objective,
        range(regime.epochs),
        training,
        seed=seed,
        callbacks=[*callbacks, _watched(watch, regime, total)],
    )
    return watch.points


def _watched(watch: Watch, regime: Regime, num_steps: int) -> Any:
    """A tf_keras callback that sets the learning rate of every step, and tells a watch of batches and epochs."""
    import tf_keras

    class Watched(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._supports_tf_logs = True  # so that no step waits for its loss to be read
            self._step, self._rate = 0, 0.0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self._rate = regime.rate(self._step, num_steps)
            self.model.optimizer.learning_rate = self._rate
            self._step += 1

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            watch.batch_ended(logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            watch.epoch_ended(epoch, {**(logs or {}), "learning_rate": self._rate})

    return Watched()
