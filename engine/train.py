"""Training with masks: one compiled ``fit``, cuts at planned steps, progress as events."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from engine.dataset import Dataset
from engine.faults import samples_blamed
from engine.feed import Feed, training_batches
from engine.objective import Objective
from engine.pruning.masking import Masks
from engine.pruning.schedule import Cut
from jobspec import spec
from jobspec.errors import TrainingDiverged
from jobspec.report import TrainingPoint

REPORT_SECONDS = 0.5
LEARNING_RATES: Mapping[str, float] = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 1e-2}
"""What Keras itself begins with, where the model's own rate was for another optimiser, or there is none."""


@dataclass(frozen=True)
class Advance:
    """How far a step is."""

    progress: float
    eta_seconds: float
    epoch: int | None = None
    epochs: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None


def num_steps(dataset: Dataset, *, batch_size: int, epochs: int) -> int:
    """Training steps of that many epochs; the last batch of an epoch may be smaller."""
    return -(-len(dataset.train) // batch_size) * epochs


def starting_learning_rate(model: Any, wanted: spec.Optimizer | None) -> float:
    """What the model was compiled with, if it trains on with the same kind of optimiser, else what is usual."""
    optimizer = _own_optimizer(model)
    if optimizer is None or wanted not in (None, type(optimizer).__name__.lower()):
        return LEARNING_RATES[wanted or "adam"]
    configured = optimizer._learning_rate
    if isinstance(configured, keras.optimizers.schedules.LearningRateSchedule):
        return float(configured(0))  # where it is by now is where a training has ended
    return float(keras.ops.convert_to_numpy(configured))


def _own_optimizer(model: Any) -> Any | None:
    """The optimiser that the model was compiled with, out of the wrapper that scales losses."""
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def make_optimizer(model: Any, wanted: spec.Optimizer | None, learning_rate: float) -> Any:
    """A fresh optimiser: the one asked for, else of the model's own kind and settings, else Adam."""
    own = _own_optimizer(model)
    if wanted is not None or own is None:
        return keras.optimizers.get({"class_name": wanted or "adam", "config": {"learning_rate": learning_rate}})
    # averages of weights would be put in place of the weights at the end of a training, past every mask
    return type(own).from_config(own.get_config() | {"learning_rate": learning_rate, "use_ema": False})


def train(
    model: Any,
    dataset: Dataset,
    feed: Feed,
    objective: Objective,
    masks: Masks,
    *,
    step_name: str,
    epochs: int,
    batch_size: int,
    optimizer: Any,
    seed: int,
    cuts: Sequence[Cut] = (),
    cut: Callable[[float], None] = lambda _: None,
    on_advance: Callable[[Advance], None],
) -> list[TrainingPoint]:
    """Train in place and make the planned cuts on the way.

    Args:
        cuts: when to call ``cut`` with which sparsity; steps count from 1, and 0 is before training.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss, or a weight, became NaN or infinite.
    """
    own = model.get_compile_config() or None  # of a model that was never compiled it is empty
    model.compile(optimizer=optimizer, loss=objective.loss, metrics=[objective.keras_metric()], jit_compile=False)
    watcher = _Watcher(step_name, epochs, num_steps(dataset, batch_size=batch_size, epochs=epochs), masks, on_advance)
    validation = dataset.validation
    with samples_blamed():
        model.fit(
            training_batches(
                feed, dataset.train.x, objective.encode(dataset.train.y), batch_size=batch_size, seed=seed
            ),
            epochs=epochs,
            validation_data=(feed(validation.x), objective.encode(validation.y)),
            validation_batch_size=max(batch_size, 256),
            shuffle=False,  # the batches come shuffled
            callbacks=[_Cutter(cuts, cut), watcher],
            verbose=0,
        )
    check_finite(model, step_name)
    if own is not None:
        model.compile_from_config(own)
    return watcher.points


def check_finite(model: Any, step_name: str) -> None:
    """A ReLU turns NaN into 0, so a network can be lost while its loss looks well.

    Raises:
        TrainingDiverged: naming the weight.
    """
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise TrainingDiverged(
                f"Weight {variable.path!r} became NaN or infinite in {step_name}.",
                suggestions=["Choose a learning_rate ten times smaller.", "Choose another training.optimizer."],
            )


class _Cutter(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``cut`` after the steps that the plan names; 0 is before the first."""

    def __init__(self, cuts: Sequence[Cut], cut: Callable[[float], None]) -> None:
        super().__init__()
        self._due = {planned.step: planned.sparsity for planned in cuts}
        self._cut, self._step = cut, 0

    def on_train_begin(self, logs: Any = None) -> None:
        if 0 in self._due:
            self._cut(self._due[0])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1
        if self._step in self._due:
            self._cut(self._due[self._step])


class _Watcher(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells how far the training is, keeps its history, and stops it when it diverges."""

    def __init__(
        self, step_name: str, epochs: int, total: int, masks: Masks, on_advance: Callable[[Advance], None]
    ) -> None:
        super().__init__()
        self.points: list[TrainingPoint] = []
        self._step_name, self._epochs, self._total, self._masks = step_name, epochs, total, masks
        self._on_advance = on_advance
        self._done, self._start, self._told = 0, time.monotonic(), 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done += 1
        if time.monotonic() - self._told > REPORT_SECONDS:
            self._tell({name: float(value) for name, value in (logs or {}).items()})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
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
                sparsity=self._masks.sparsity(),
            )
        )
        self._tell(values)

    def _tell(self, values: Mapping[str, float]) -> None:
        self._told = time.monotonic()
        left = (self._told - self._start) / self._done * (self._total - self._done)
        self._on_advance(
            Advance(
                progress=self._done / self._total,
                eta_seconds=left,
                epoch=min(self._epochs, 1 + (self._done - 1) * self._epochs // self._total),
                epochs=self._epochs,
                metrics={name: value for name, value in values.items() if np.isfinite(value)},
            )
        )
