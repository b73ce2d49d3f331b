"""Training with masks: one compiled ``fit``, cuts at planned steps, progress as events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.data.split import Dataset
from engine.distill import Lesson
from engine.faults import samples_blamed
from engine.feed import Feed, ordered_batches, training_batches
from engine.objective import Objective
from engine.pruning.masking import Masks
from engine.pruning.schedule import Cut
from engine.watch import Advance, Watch
from jobspec import spec
from jobspec.errors import TrainingDiverged
from jobspec.report import TrainingPoint

LEARNING_RATES: Mapping[str, float] = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 1e-2}
"""What Keras itself begins with, where the model's own rate was for another optimiser, or there is none."""


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
    lesson: Lesson | None = None,
    on_advance: Callable[[Advance], None],
) -> list[TrainingPoint]:
    """Train in place and make the planned cuts on the way.

    Args:
        cuts: when to call ``cut`` with which sparsity; steps count from 1, and 0 is before training.
        lesson: what to learn from a teacher besides the labels.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss, or a weight, became NaN or infinite.
    """
    own = model.get_compile_config() or None  # of a model that was never compiled it is empty
    loss = objective.loss if lesson is None else lesson.loss(objective)
    metric = objective.keras_metric() if lesson is None else lesson.metric(objective)
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)
    watch = Watch(
        step_name,
        epochs=epochs,
        num_steps=num_steps(dataset, batch_size=batch_size, epochs=epochs),
        sparsity=masks.sparsity,
        on_advance=on_advance,
    )
    fit(
        model,
        dataset,
        feed,
        objective,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        callbacks=[_Cutter(cuts, cut), _Watched(watch)],
        rows=None if lesson is None else lesson.rows(objective.encode(dataset.train.y)),
    )
    check_finite(model, step_name)
    if own is not None:
        model.compile_from_config(own)
    return watch.points


def fit(
    model: Any,
    dataset: Dataset,
    feed: Feed,
    objective: Objective,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    callbacks: Sequence[Any],
    rows: Array | None = None,
) -> None:
    """Train a compiled model, of Keras 3 or tf_keras: the same batches in the same order for the same seed.

    Args:
        rows: what the loss takes of each training sample, when that is more than its label.
    """
    validation = dataset.validation
    rows = objective.encode(dataset.train.y) if rows is None else rows
    with samples_blamed():
        model.fit(
            training_batches(feed, dataset.train.x, rows, batch_size=batch_size, seed=seed),
            epochs=epochs,
            validation_data=ordered_batches(
                feed, validation.x, objective.encode(validation.y), batch_size=max(batch_size, 256)
            ),
            shuffle=False,  # the batches come shuffled
            callbacks=list(callbacks),
            verbose=0,
        )


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


class _Watched(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a watch of every batch and epoch."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._watch.batch_ended(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._watch.epoch_ended(epoch, logs)
