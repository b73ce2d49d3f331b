"""Training with masks: one compiled ``fit``, cuts at planned steps, progress as events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import keras
import numpy as np

from engine.data.feed import ordered_batches, training_batches
from engine.data.order import SampleOrder
from engine.faults import attribute_errors_to_samples
from engine.objectives.objectives import AnyObjective, Objectives
from engine.parts import named_outputs
from engine.training.augment import augmented
from engine.training.callbacks import (
    BestWeightsCallback,
    CheckpointCallback,
    LearningRateCallback,
    ProgressCallback,
    PruningCallback,
)
from engine.training.class_weights import append_weights, sample_weights, split_weights
from engine.training.config import EpochSelection
from engine.training.context import TrainingContext
from engine.training.distillation import Distillation
from engine.training.precision import precision_of, scaled
from engine.training.progress import ProgressTracker
from engine.training.resume import TrainingState, epochs_done
from secateur.errors import TrainingDiverged
from secateur.reports.report import TrainingPoint
from secateur.specs.metrics import in_words
from secateur.specs.training import Optimizer

LEARNING_RATES: Mapping[str, float] = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 1e-2}
"""The defaults of Keras, used if the model has no learning rate or one for another optimiser."""


def starting_learning_rate(model: Any, wanted: Optimizer | None) -> float:
    """The rate that the model was compiled with if the optimiser is of the same kind, else the default of Keras."""
    optimizer = _own_optimizer(model)
    if optimizer is None or wanted not in (None, type(optimizer).__name__.lower()):
        return LEARNING_RATES[wanted or "adam"]
    configured = optimizer._learning_rate
    if isinstance(configured, keras.optimizers.schedules.LearningRateSchedule):
        return float(configured(0))  # its current value is that of the end of a training
    return float(keras.ops.convert_to_numpy(configured))


def _own_optimizer(model: Any) -> Any | None:
    """The optimiser that the model was compiled with, without the wrapper that scales losses."""
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def make_optimizer(model: Any, wanted: Optimizer | None, learning_rate: float) -> Any:
    """A fresh optimiser: the requested one, else one with the kind and settings of the model's own, else Adam."""
    own = _own_optimizer(model)
    if wanted is not None or own is None:
        return keras.optimizers.get({"class_name": wanted or "adam", "config": {"learning_rate": learning_rate}})
    # averaged weights would replace the weights at the end of a training without regard to masks
    return type(own).from_config(own.get_config() | {"learning_rate": learning_rate, "use_ema": False})


def train(context: TrainingContext) -> list[TrainingPoint]:
    """Train a model of Keras 3 in place, and make the planned cuts on the way.

    Returns:
        One point an epoch.

    Raises:
        TrainingDiverged: the loss, or a weight, became NaN or infinite.
    """
    model, masks, config = context.model, context.masks, context.config
    saved, total = context.checkpoint.restore("training"), context.num_steps
    first = epochs_done(saved)
    done = first * total // config.epochs
    selection = _epoch_selection(context)
    tracker = progress_tracker(context, masks.sparsity)
    best_weights = BestWeightsCallback(selection, config, done=done)
    callbacks = [
        PruningCallback(context.cuts, context.cut, done=done),
        LearningRateCallback(config, total, done=done),
        ProgressCallback(tracker),
        best_weights,
        CheckpointCallback(context.checkpoint.save_if_due, last=config.epochs - 1),
    ]
    with _compiled(context):
        state = TrainingState(model, masks, selection, best_weights, tracker)
        state.load_state_dict(saved)
        del saved  # as large as the model and its optimiser together
        with context.checkpoint.section("training", state.state_dict):
            fit(context, callbacks, epochs=range(first, config.epochs))
    check_finite(model, context.step_name)
    tracker.training_ended(best_weights.kept)
    if note := selection.note(in_words(context.objective.metric)):
        context.notes.append(f"{context.step_name}: {note}.")
    return tracker.points


def progress_tracker(context: TrainingContext, sparsity: Callable[[], float]) -> ProgressTracker:
    """The tracker of a training.

    Args:
        sparsity: returns the sparsity of the kernels; called at the end of each epoch.
    """
    return ProgressTracker(
        context.step_name,
        epochs=context.config.epochs,
        num_steps=context.num_steps,
        sparsity=sparsity,
        on_advance=context.on_advance,
    )


def _epoch_selection(context: TrainingContext) -> EpochSelection:
    """Selects among the epochs that begin after the last cut."""
    return EpochSelection(
        context.config,
        higher_is_better=context.objective.higher_is_better,
        since=max((planned.step for planned in context.cuts), default=0),
        by_loss=context.distillation is not None and context.distillation.alone,
    )


@contextmanager
def _compiled(context: TrainingContext) -> Iterator[None]:
    """While the block runs, the model is compiled for the training. Afterwards it is compiled as it was before."""
    model, precision = context.model, context.training.precision
    own = model.get_compile_config() or None  # empty for a model that was never compiled
    with precision_of(model, precision):
        _compile(model, context.objective, context.distillation, scaled(context.optimizer, precision))
        yield
    if own is not None:
        model.compile_from_config(own)


def _compile(model: Any, objective: AnyObjective, distillation: Distillation | None, optimizer: Any) -> None:
    if isinstance(objective, Objectives):
        model.compile(optimizer=optimizer, **objective.compiling(), jit_compile=False)
        return
    one = objective.head
    loss = one.loss if distillation is None else distillation.loss(one)
    metric = one.keras_metric() if distillation is None else distillation.metric(one)
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric] if metric else [], jit_compile=False)


def fit(context: TrainingContext, callbacks: Sequence[Any], *, epochs: range) -> None:
    """Train a compiled model, of Keras 3 or tf_keras: the same batches in the same order for the same seed.

    Args:
        callbacks: of the library that the model belongs to.
        epochs: those still to train, from 0.
    """
    model, feed, objective, training = context.model, context.feed, context.objective, context.training
    validation = context.data.validation
    rows = objective.encode(validation.y)
    rows = rows if context.distillation is None else context.distillation.held_out_rows(rows)
    held_out = ordered_batches(feed, validation.x, rows, batch_size=max(training.batch_size, 256))

    def measure(epoch: int, logs: dict[str, Any]) -> None:
        outputs = named_outputs(model, model.predict(held_out, verbose=0))
        logs["val_metric"] = objective.head.score(objective.of(validation.y), objective.of(outputs))

    order = SampleOrder(len(context.data.train), training.batch_size, context.seed)

    def start_epoch(epoch: int, logs: Any = None) -> None:
        order.epoch = epoch

    library = keras if isinstance(model, keras.Model) else import_module("tf_keras")
    hook = library.callbacks.LambdaCallback
    metered = isinstance(objective, Objectives) or objective.head.keras_metric() is None
    with attribute_errors_to_samples():
        model.fit(
            _batches(context, order),
            epochs=epochs.stop,
            initial_epoch=epochs.start,
            validation_data=held_out,
            shuffle=False,  # the batches come shuffled
            callbacks=[
                hook(on_epoch_begin=start_epoch),
                *([hook(on_epoch_end=measure)] if metered else []),
                *callbacks,
            ],
            verbose=0,
        )


def _batches(context: TrainingContext, order: SampleOrder) -> Any:
    """Training batches: inputs, the rows that the loss takes, and the sample weights if classes are weighted."""
    feed, objective, training = context.feed, context.objective, context.training
    distillation, train_split = context.distillation, context.data.train
    if distillation is None and training.class_weight is None:
        batches = training_batches(feed, train_split.x, objective.encode(train_split.y), order=order)
    else:
        one, y = objective.head, objective.of(train_split.y)
        rows = labels = one.encode(y) if distillation is None else distillation.labels(one, y)
        if distillation is not None:
            rows = distillation.rows(labels)
        if training.class_weight is None:
            batches = training_batches(feed, train_split.x, rows, order=order)
        else:
            both = append_weights(rows, sample_weights(one.truths(labels), training.class_weight))
            batches = training_batches(feed, train_split.x, both, order=order)
            batches = split_weights(batches, flat=rows.ndim == 1)
    return batches if training.augment is None else augmented(batches, training.augment, order=order)


def check_finite(model: Any, step_name: str) -> None:
    """Check every weight: a ReLU turns NaN into 0, so the loss can be finite while weights are not.

    Raises:
        TrainingDiverged: naming the weight.
    """
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise TrainingDiverged(
                f"Weight {variable.path!r} became NaN or infinite in {step_name}.",
                suggestions=["Choose a learning_rate ten times smaller.", "Choose another training.optimizer."],
            )
