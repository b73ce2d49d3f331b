"""Schedules in a real training: whatever the number of steps and the optimiser, what was asked is delivered."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.data.feed import Feed
from engine.data.split import Dataset, Split
from engine.models.prunable import prunable_kernels
from engine.objectives.objective import resolve
from engine.pruning.masking import Masks
from engine.pruning.pruner import Pruner, scorer
from engine.pruning.schedule import plan
from engine.training.config import TrainingConfig
from engine.training.context import TrainingContext, num_steps
from engine.training.train import check_finite, starting_learning_rate, train
from secateur.errors import TrainingDiverged
from secateur.specs.pruning import Constant, Iterative, Polynomial, Prune
from secateur.specs.spec import Objective
from secateur.specs.training import Training

BATCH = 4
SLOW = pytest.mark.slow
SCHEDULES = {
    "constant": Constant(epochs=2),
    "polynomial": Polynomial(epochs=2),
    "recoverable": Polynomial(epochs=2, recoverable=True),
    "iterative": Iterative(cycles=2),
}
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "lion": lambda: keras.optimizers.Lion(0.001),
}


def data(num_samples: int) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_samples, 6)).astype("f4")
    split = Split(x, (x[:, 0] > 0).astype(np.int64))
    return Dataset(split, split.take(np.arange(min(8, num_samples))), split, "classes", held_out=True)


def trained(step: Prune, num_steps_: int, optimizer: Any) -> tuple[Masks, list[float], Pruner]:
    """Masks after the training, the sparsity after each of its cuts, and what made them."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), *(keras.layers.Dense(16, "relu") for _ in range(2))])
    model = keras.Model(model.inputs, keras.layers.Dense(2)(model.outputs[0]))
    dataset = data(num_steps_ // 2 * BATCH)
    objective = resolve(model, "classes", Objective())
    masks = Masks(prunable_kernels(model))
    pruner, seen = Pruner(masks, step, scorer(step, None, seed=0)), list[float]()  # type: ignore[arg-type]

    def cut(sparsity: float) -> None:
        pruner.to(sparsity)
        seen.append(masks.sparsity())

    total = num_steps(dataset, batch_size=BATCH, epochs=step.schedule.epochs)  # type: ignore[union-attr]
    context = TrainingContext(
        step_name="prune",
        model=model,
        data=dataset,
        feed=Feed("none", (6,), "float32"),
        objective=objective,
        masks=masks,
        config=TrainingConfig.of(step.schedule, float(optimizer.learning_rate)),  # type: ignore[arg-type]
        training=Training(batch_size=BATCH),
        optimizer=optimizer,
        seed=0,
        cuts=plan(step.schedule, pruner.final, num_steps=total),
        cut=cut,
    )
    train(context)
    return masks, seen, pruner


@pytest.mark.parametrize("steps", [10, 64, pytest.param(150, marks=SLOW), pytest.param(1000, marks=SLOW)])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_training_of_any_length_delivers_what_was_asked(schedule: str, steps: int) -> None:
    """With a fixed interval between updates, 64 steps deliver nothing and 150 something else."""
    masks, seen, _ = trained(Prune(sparsity=0.8, schedule=SCHEDULES[schedule]), steps, OPTIMIZERS["adam"]())

    for name in masks.names:
        weights = masks.weights(name)
        assert np.count_nonzero(weights == 0) == round(0.8 * weights.size)
    assert seen == sorted(seen)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_any_optimiser_delivers_what_was_asked(optimizer: str) -> None:
    masks, _, _ = trained(Prune(sparsity=0.7, schedule=Polynomial(epochs=2)), 20, OPTIMIZERS[optimizer]())

    for name in masks.names:
        assert np.count_nonzero(masks.weights(name) == 0) == round(0.7 * masks.weights(name).size)


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param({"structure": "unit", "criterion": "l2_norm", "sparsity": 0.5}, id="unit"),
        pytest.param({"structure": "block", "block_shape": (4, 2), "sparsity": 0.5}, id="block"),
        pytest.param({"structure": "n_m", "n_m": (1, 2)}, id="n_m"),
        pytest.param({"criterion": "std_threshold", "quality": 0.7}, id="std_threshold"),
    ],
)
def test_every_structure_reaches_its_pattern_while_training(choices: dict[str, Any]) -> None:
    step = Prune(schedule=Polynomial(epochs=2), **choices)

    masks, seen, pruner = trained(step, 64, OPTIMIZERS["adam"]())

    assert masks.sparsity() == pytest.approx(pruner.final, abs=0.01)
    assert len(seen) >= 20, "little by little, not frozen by the first cut"
    matrix = masks.layout(masks.names[1]).matrix(masks.weights(masks.names[1])) != 0
    match choices.get("structure"):
        case "unit":
            assert set(matrix.sum(axis=0)) == {0, 16}
        case "block":
            assert set(matrix.reshape(8, 2, 4, 4).sum(axis=(1, 3)).ravel()) == {0, 8}
        case "n_m":
            assert (matrix.reshape(8, 2, 16).sum(axis=1) == 1).all()


def test_a_network_that_is_lost_behind_a_relu_does_not_count_as_trained() -> None:
    """Seen with Adafactor and units that were dead: NaN weights, and a loss as if nothing were wrong."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "relu", name="lost")])
    model.get_layer("lost").kernel.assign([[np.nan], [1.0]])

    with pytest.raises(TrainingDiverged, match="lost/kernel"):
        check_finite(model, "prune")


def test_iterative_cuts_before_it_trains_and_again_between_the_cycles() -> None:
    _, seen, _ = trained(Prune(sparsity=0.75, schedule=Iterative(cycles=2)), 20, OPTIMIZERS["adam"]())

    assert seen == pytest.approx([0.5, 0.75], abs=0.01)


def test_a_learning_rate_is_not_handed_from_one_kind_of_optimiser_to_another() -> None:
    """Plain SGD learns at 0.01, Adam with that rate diverges."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert starting_learning_rate(model, None) == 0.001

    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")

    assert starting_learning_rate(model, None) == pytest.approx(0.05)
    assert starting_learning_rate(model, "sgd") == pytest.approx(0.05)
    assert starting_learning_rate(model, "adam") == 0.001
