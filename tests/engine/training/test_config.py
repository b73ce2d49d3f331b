"""Learning rates, early stopping and the best epoch: what is planned, and that a real training does it."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.feed import Feed
from engine.data.split import Dataset, Split
from engine.models.prunable import prunable_kernels
from engine.objectives.objective import resolve
from engine.pruning.masking import Masks
from engine.pruning.schedule import MaskUpdate
from engine.training.config import EpochSelection, TrainingConfig
from engine.training.context import TrainingContext
from engine.training.progress import Advance
from engine.training.train import train
from secateur.reports.report import TrainingPoint
from secateur.specs.spec import Objective
from secateur.specs.training import Training
from tests.engine.conftest import cut


@given(
    schedule=st.sampled_from(["constant", "cosine", "exponential"]),
    warmup=st.floats(0.0, 0.9),
    cycles=st.integers(1, 5),
    num_steps=st.integers(1, 300),
)
def test_every_step_learns_and_none_faster_than_was_asked(
    schedule: Any, warmup: float, cycles: int, num_steps: int
) -> None:
    """A rate of exactly zero would be a wasted step, a negative one would unlearn."""
    config = TrainingConfig(1, 0.1, schedule, warmup=warmup, cycles=min(cycles, num_steps))

    rates = [config.rate(step, num_steps) for step in range(num_steps)]

    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates)
    assert max(rates) == pytest.approx(0.1)


def test_a_cosine_falls_to_nearly_nothing_and_begins_anew_in_each_cycle() -> None:
    rates = [TrainingConfig(2, 1.0, "cosine", cycles=2).rate(step, 100) for step in range(100)]

    assert rates[0] == rates[50] == 1.0
    assert rates[49] == rates[99] < 0.001
    assert rates[:50] == sorted(rates[:50], reverse=True)


def test_an_exponential_schedule_loses_the_same_share_at_every_step() -> None:
    rates = np.array([TrainingConfig(1, 1.0, "exponential").rate(step, 50) for step in range(50)])

    assert rates[1:] / rates[:-1] == pytest.approx(np.full(49, 0.01 ** (1 / 50)))


def logs(metric: float, loss: float = 1.0) -> dict[str, float]:
    return {"val_metric": metric, "val_loss": loss}


def ended(selection: EpochSelection, metrics: list[float]) -> list[bool]:
    return [selection.epoch_ended(epoch, epoch + 1, logs(metric)) for epoch, metric in enumerate(metrics)]


def test_the_best_epoch_is_that_of_the_best_metric_whichever_direction_is_better() -> None:
    accuracy = EpochSelection(TrainingConfig(3, 0.1, best_epoch=True), higher_is_better=True)
    error = EpochSelection(TrainingConfig(3, 0.1, best_epoch=True), higher_is_better=False)

    ended(accuracy, [0.5, 0.9, 0.7])
    ended(error, [0.5, 0.9, 0.3])

    assert (accuracy.best, error.best) == (1, 2)


def test_of_equal_metrics_the_lower_loss_is_better_and_of_equal_both_the_earlier_epoch() -> None:
    selection = EpochSelection(TrainingConfig(4, 0.1), higher_is_better=True)

    for epoch, loss in enumerate([0.4, 0.3, 0.3, 0.5]):
        selection.epoch_ended(epoch, epoch, logs(0.9, loss))

    assert selection.best == 1


def test_an_epoch_in_which_sparsity_still_rises_is_never_the_best() -> None:
    """It is good because little is cut, and its weights would lack zeros."""
    selection = EpochSelection(TrainingConfig(3, 0.1, best_epoch=True), higher_is_better=True, since=2)

    assert ended(selection, [0.99, 0.7, 0.8]) == [False, True, True]
    assert selection.best == 2


def test_patience_counts_epochs_that_were_no_better_and_says_why_it_ended() -> None:
    selection = EpochSelection(TrainingConfig(9, 0.1, patience=2), higher_is_better=True)

    ended(selection, [0.5, 0.8, 0.7, 0.8])

    assert selection.stopped == 3
    assert selection.note("accuracy") == (
        "stopped early after epoch 4 of 9: 2 epochs in a row did not improve on epoch 2 on held-out samples"
    )


def problem() -> tuple[Any, Dataset]:
    """A tiny network that is trained on labels of which the held-out ones say the opposite: it only gets worse."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 6)).astype("f4")
    y = (x[:, 0] > 0).astype(np.int64)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(16, "relu", name="hidden"), keras.layers.Dense(2, name="out")]
    )
    train_split, held_out = Split(x[:200], y[:200]), Split(x[200:], 1 - y[200:])
    return model, Dataset(train_split, held_out, held_out, "classes", held_out=True)


def trained(
    config: TrainingConfig, cuts: Any = (), **training: Any
) -> tuple[Any, Masks, list[TrainingPoint], list[Advance], list[str]]:
    model, data = problem()
    masks, seen, notes = Masks(prunable_kernels(model)), list[Advance](), list[str]()
    if not cuts:
        cut(masks, 0.5)
    context = TrainingContext(
        step_name="finetune",
        model=model,
        data=data,
        feed=Feed("none", (6,), "float32"),
        objective=resolve(model, "classes", Objective()),
        masks=masks,
        config=config,
        training=Training(batch_size=20, **training),
        optimizer=keras.optimizers.SGD(momentum=0.9, nesterov=True),
        seed=0,
        cuts=cuts,
        cut=lambda sparsity: cut(masks, sparsity) and None,
        on_advance=seen.append,
        notes=notes,
    )
    points = train(context)
    return model, masks, points, seen, notes


def held_out_accuracy(model: Any) -> float:
    data = problem()[1].validation
    return float((np.asarray(model(data.x)).argmax(axis=1) == data.y).mean())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_the_weights_of_the_best_epoch_come_out_and_momentum_has_revived_no_zero(precision: str) -> None:
    """In mixed precision too: the weights that masks hold are float32 all the time."""
    model, masks, points, _, notes = trained(TrainingConfig(4, 0.05, best_epoch=True), precision=precision)

    assert [point.kept for point in points] == [True, False, False, False]
    assert points[0].val_metric > points[-1].val_metric + 0.1
    assert held_out_accuracy(model) == pytest.approx(points[0].val_metric, abs=0.04)
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.array_equal(masks.weights("hidden") != 0, masks.mask("hidden"))
    assert masks.sparsity() == pytest.approx(0.5, abs=0.01)
    assert "kept the weights of epoch 1, the best by validation accuracy" in notes[0]


def test_without_it_the_last_weights_come_out() -> None:
    model, _, points, _, notes = trained(TrainingConfig(4, 0.05))

    assert not any(point.kept for point in points)
    assert held_out_accuracy(model) == pytest.approx(points[-1].val_metric)
    assert notes == []


def test_of_a_training_that_cuts_no_epoch_before_the_last_cut_comes_out() -> None:
    """The first epoch is the best here, and half of what was asked for is not cut in it."""
    model, masks, points, _, _ = trained(
        TrainingConfig(4, 0.05, best_epoch=True), cuts=[MaskUpdate(5, 0.3), MaskUpdate(15, 0.6)]
    )

    assert [point.kept for point in points].index(True) == 1
    assert held_out_accuracy(model) == pytest.approx(points[1].val_metric)
    assert masks.sparsity() == pytest.approx(0.6, abs=0.01)
    assert np.array_equal(masks.weights("hidden") != 0, masks.mask("hidden"))


def test_a_training_that_gets_no_better_stops_and_is_then_done() -> None:
    """Progress and the time that is left are of what was planned until it stops; then nothing is left."""
    _, _, points, seen, notes = trained(TrainingConfig(10, 0.05, patience=2, best_epoch=True))

    assert len(points) == 3
    assert notes[0].startswith("finetune: stopped early after epoch 3 of 10: 2 epochs in a row")
    assert [at.progress for at in seen] == sorted(at.progress for at in seen)
    assert (seen[-1].progress, seen[-1].eta_seconds) == (1.0, 0.0)
    assert (seen[-1].epoch, seen[-1].epochs) == (3, 10)


def test_the_history_tells_the_learning_rate_that_each_epoch_ended_with() -> None:
    config = TrainingConfig(2, 0.05, "cosine", warmup=0.05)

    points = trained(config)[2]

    assert [point.learning_rate for point in points] == [config.rate(9, 20), config.rate(19, 20)]


def rare_found(**training: Any) -> float:
    """How many samples of a rare class are found that no plane tells from the others, after training on few of it."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 20 == 0).astype(np.int64)
    x = rng.normal(size=(600, 2)).astype("f4") + y[:, None]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    data = Dataset(Split(x, y), Split(x, y), Split(x, y), "classes", held_out=False)
    context = TrainingContext(
        step_name="finetune",
        model=model,
        data=data,
        feed=Feed("none", (2,), "float32"),
        objective=resolve(model, "classes", Objective()),
        masks=Masks(prunable_kernels(model)),
        config=TrainingConfig(8, 0.05),
        training=Training(batch_size=50, **training),
        optimizer=keras.optimizers.Adam(),
        seed=0,
    )
    train(context)
    return float((np.asarray(model(x[y == 1])).argmax(axis=1) == 1).mean())


def test_classes_that_are_weighed_the_same_are_found_however_rare_they_are() -> None:
    alone, balanced, by_hand = rare_found(), rare_found(class_weight="balanced"), rare_found(class_weight={1: 19.0})

    assert alone < 0.3
    assert min(balanced, by_hand) > 0.7
