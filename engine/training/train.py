"""Training with masks: one compiled ``fit``, cuts at planned steps, progress as events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import keras
import numpy as np

from engine.checkpoint.sections import Trail
from engine.data.feed import Feeding, ordered_batches, training_batches
from engine.data.order import Order
from engine.data.split import Dataset
from engine.faults import samples_blamed
from engine.objectives.objectives import Aim, Objectives
from engine.parts import said_by
from engine.pruning.masking import Masks
from engine.pruning.schedule import Cut
from engine.training.augment import augmented
from engine.training.callbacks import Choice, Cutter, Milestones, Rates, Watched
from engine.training.class_weights import apart, beside, sample_weights
from engine.training.config import Epochs, Regime
from engine.training.distillation import Lesson
from engine.training.precision import precision_of, scaled
from engine.training.progress import Advance, Watch
from engine.training.resume import Underway, epochs_done
from secateur.errors import TrainingDiverged
from secateur.reports.report import TrainingPoint
from secateur.specs.metrics import in_words
from secateur.specs.training import Optimizer, Precision, Training

LEARNING_RATES: Mapping[str, float] = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 1e-2}
"""What Keras itself begins with, where the model's own rate was for another optimiser, or there is none."""


def num_steps(dataset: Dataset, *, batch_size: int, epochs: int) -> int:
    """Training steps of that many epochs; the last batch of an epoch may be smaller."""
    return -(-len(dataset.train) // batch_size) * epochs


def starting_learning_rate(model: Any, wanted: Optimizer | None) -> float:
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


def make_optimizer(model: Any, wanted: Optimizer | None, learning_rate: float) -> Any:
    """A fresh optimiser: the one asked for, else of the model's own kind and settings, else Adam."""
    own = _own_optimizer(model)
    if wanted is not None or own is None:
        return keras.optimizers.get({"class_name": wanted or "adam", "config": {"learning_rate": learning_rate}})
    # averages of weights would be put in place of the weights at the end of a training, past every mask
    return type(own).from_config(own.get_config() | {"learning_rate": learning_rate, "use_ema": False})


def train(
    model: Any,
    dataset: Dataset,
    feed: Feeding,
    objective: Aim,
    masks: Masks,
    *,
    step_name: str,
    regime: Regime,
    training: Training,
    optimizer: Any,
    seed: int,
    cuts: Sequence[Cut] = (),
    cut: Callable[[float], None] = lambda _: None,
    lesson: Lesson | None = None,
    on_advance: Callable[[Advance], None],
    notes: list[str] | None = None,
    trail: Trail | None = None,
) -> list[TrainingPoint]:
    """Train in place and make the planned cuts on the way.

    Args:
        regime: how long, how fast, and which epoch's weights stay.
        training: the size of batches, weights of classes, changes of images, and precision.
        cuts: when to call ``cut`` with which sparsity; steps count from 1, and 0 is before training.
        lesson: what to learn from a teacher besides the labels.
        notes: gets a line when the training ended early, or other weights came out than the last.
        trail: told how far the training is at the end of each epoch; one that was told before goes on from there.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss, or a weight, became NaN or infinite.
    """
    trail = trail or Trail()
    earlier = trail.take("training")
    first, total = epochs_done(earlier), num_steps(dataset, batch_size=training.batch_size, epochs=regime.epochs)
    done = first * total // regime.epochs
    watch = Watch(step_name, epochs=regime.epochs, num_steps=total, sparsity=masks.sparsity, on_advance=on_advance)
    choice = Choice(epochs := _epochs(regime, objective, lesson, cuts), regime, done=done)
    callbacks = [
        Cutter(cuts, cut, done=done),
        Rates(regime, total, done=done),
        Watched(watch),
        choice,
        Milestones(trail.mark, last=regime.epochs - 1),
    ]
    with _compiled(model, objective, lesson, optimizer, training.precision):
        underway = Underway(model, masks, epochs, choice, watch)
        underway.take_up(earlier)
        del earlier  # as large as the model and its optimiser together
        with trail.telling("training", underway.told):
            ahead = range(first, regime.epochs)
            fit(model, dataset, feed, objective, ahead, training, seed=seed, callbacks=callbacks, lesson=lesson)
    check_finite(model, step_name)
    watch.ended(choice.kept)
    if notes is not None and (note := epochs.note(in_words(objective.metric))):
        notes.append(f"{step_name}: {note}.")
    return watch.points


def _epochs(regime: Regime, objective: Aim, lesson: Lesson | None, cuts: Sequence[Cut]) -> Epochs:
    """Who tells which epoch is the best: of those that begin when all is cut."""
    last_cut = max((planned.step for planned in cuts), default=0)
    alone = lesson is not None and lesson.alone
    return Epochs(regime, higher_is_better=objective.higher_is_better, since=last_cut, by_loss=alone)


@contextmanager
def _compiled(
    model: Any, objective: Aim, lesson: Lesson | None, optimizer: Any, precision: Precision
) -> Iterator[None]:
    """While the block runs the model is compiled for a training, and afterwards as it was uploaded."""
    own = model.get_compile_config() or None  # of a model that was never compiled it is empty
    with precision_of(model, precision):
        _compile(model, objective, lesson, scaled(optimizer, precision))
        yield
    if own is not None:
        model.compile_from_config(own)


def _compile(model: Any, objective: Aim, lesson: Lesson | None, optimizer: Any) -> None:
    if isinstance(objective, Objectives):
        model.compile(optimizer=optimizer, **objective.compiling(), jit_compile=False)
        return
    one = objective.head
    loss = one.loss if lesson is None else lesson.loss(one)
    metric = one.keras_metric() if lesson is None else lesson.metric(one)
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric] if metric else [], jit_compile=False)


def fit(
    model: Any,
    dataset: Dataset,
    feed: Feeding,
    objective: Aim,
    epochs: range,
    training: Training,
    *,
    seed: int,
    callbacks: Sequence[Any],
    lesson: Lesson | None = None,
) -> None:
    """Train a compiled model, of Keras 3 or tf_keras: the same batches in the same order for the same seed.

    Args:
        epochs: those that the model has not behind it yet, from 0.
    """
    validation = dataset.validation
    rows = objective.encode(validation.y)
    rows = rows if lesson is None else lesson.held_out_rows(rows)
    held_out = ordered_batches(feed, validation.x, rows, batch_size=max(training.batch_size, 256))

    def measure(epoch: int, logs: dict[str, Any]) -> None:
        said = model.predict(held_out, verbose=0)
        logs["val_metric"] = objective.head.score(objective.of(validation.y), objective.of(said_by(model, said)))

    order = Order(len(dataset.train), training.batch_size, seed)

    def begin(epoch: int, logs: Any = None) -> None:
        order.epoch = epoch

    library = keras if isinstance(model, keras.Model) else import_module("tf_keras")
    hook = library.callbacks.LambdaCallback
    metered = isinstance(objective, Objectives) or objective.head.keras_metric() is None
    with samples_blamed():
        model.fit(
            _batches(dataset, feed, objective, training, lesson, order),
            epochs=epochs.stop,
            initial_epoch=epochs.start,
            validation_data=held_out,
            shuffle=False,  # the batches come shuffled
            callbacks=[
                hook(on_epoch_begin=begin),
                *([hook(on_epoch_end=measure)] if metered else []),
                *callbacks,
            ],
            verbose=0,
        )


def _batches(
    dataset: Dataset, feed: Feeding, objective: Aim, training: Training, lesson: Lesson | None, order: Order
) -> Any:
    """Training batches: inputs, what the loss takes of each sample, and when asked how much it counts."""
    x = dataset.train.x
    if lesson is None and training.class_weight is None:
        rows = objective.encode(dataset.train.y)
        batches = training_batches(feed, x, rows, order=order)
    else:
        one, y = objective.head, objective.of(dataset.train.y)
        rows = labels = one.encode(y) if lesson is None else lesson.labels(one, y)
        if lesson is not None:
            rows = lesson.rows(labels)
        if training.class_weight is None:
            batches = training_batches(feed, x, rows, order=order)
        else:
            both = beside(rows, sample_weights(one.truths(labels), training.class_weight))
            batches = training_batches(feed, x, both, order=order)
            batches = apart(batches, flat=rows.ndim == 1)
    return batches if training.augment is None else augmented(batches, training.augment, order=order)


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
