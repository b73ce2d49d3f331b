from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.models.graph import graph_of
from engine.models.model import copy_of
from engine.models.predict import predict
from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.pruning.pruner import Pruner
from engine.reconstruction.equations import Samples
from engine.reconstruction.reconstruct import reconstruct
from engine.reconstruction.targets import reason_not_reconstructable
from engine.run.context import Run
from engine.run.load import load
from engine.steps.prune import prune
from secateur.reports.sensitivity import Curves
from secateur.specs.pruning import OneShot, Prune
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe, Step
from secateur.specs.training import Finetune

layers = keras.layers


def pair(model: Any) -> tuple[Any, Any, Masks]:
    dense = keras.models.clone_model(model)
    dense.set_weights(model.get_weights())
    return model, dense, Masks(prunable_kernels(model))


def samples(shape: tuple[int, ...], count: int = 600) -> Samples:
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype("f4")
    return Samples(lambda: [x[:250], x[250:]], count, seed=0)


def residual_network() -> Any:
    """Every kind of step on the way: a nested model, a branch, BatchNorm, depthwise, separable, transposed, grouped."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")], name="encoder")
    inputs = keras.Input((8, 8, 3))
    x = inner(inputs)
    branch = layers.Conv2D(16, 3, padding="same", use_bias=False, name="branch")(x)
    branch = layers.BatchNormalization(name="norm")(branch)
    x = layers.ReLU()(layers.Add()([x, branch]))
    x = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(x)
    x = layers.SeparableConv2D(16, 3, strides=2, activation="relu", name="separable")(x)
    x = layers.Conv2DTranspose(16, 2, strides=2, activation="relu", name="transposed")(x)
    x = layers.Conv2D(16, 3, groups=4, activation="relu", name="in_groups")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(4, name="out")(layers.Dense(32, "relu", name="hidden")(x))
    return keras.Model(inputs, x)


def error(model: Any, dense: Any, x: np.ndarray) -> float:
    """Relative to the spread of the dense network's outputs."""
    there = dense.predict(x, verbose=0)
    return float(np.linalg.norm(model.predict(x, verbose=0) - there) / np.linalg.norm(there - there.mean(axis=0)))


def test_a_repaired_network_is_closer_to_the_dense_one_than_a_cut_one() -> None:
    """The same zeros, no labels, no training, through layers of every kind."""
    x = np.random.default_rng(9).normal(size=(400, 8, 8, 3)).astype("f4")
    repaired, dense, masks = pair(residual_network())
    plain, _, plain_masks = pair(residual_network())
    sparsity, told = dict.fromkeys(masks.names, 0.6), list[float]()

    solved = reconstruct(repaired, dense, masks, sparsity, samples((8, 8, 3)), on_progress=told.append)
    for name in sparsity:
        weights = plain_masks.weights(name)
        plain_masks.set(name, np.where(np.abs(weights) >= np.quantile(np.abs(weights), 0.6), weights, 0))

    middle = ["depthwise", "separable", "transposed", "in_groups", "hidden"]
    assert solved == ["encoder/stem", "branch", *middle, "out"]
    assert masks.sparsity() == pytest.approx(0.6, abs=0.01)
    assert error(repaired, dense, x) < 0.7 * error(plain, dense, x)
    assert told == pytest.approx([(done + 1) / 8 for done in range(8)])


def test_only_what_comes_behind_the_first_cut_is_solved_and_nothing_frozen() -> None:
    model, dense, masks = pair(residual_network())
    model.get_layer("transposed").trainable = False

    solved = reconstruct(model, dense, masks, {"separable": 0.5}, samples((8, 8, 3)))

    assert solved == ["separable", "in_groups", "hidden", "out"]
    assert not np.allclose(model.get_layer("hidden").bias, dense.get_layer("hidden").bias)
    assert np.array_equal(model.get_layer("depthwise").kernel, dense.get_layer("depthwise").kernel)


def test_a_convolution_without_bias_gets_one_from_the_batchnorm_behind_it() -> None:
    """With all but one input cut, the mean of what it computes can only come from a bias."""
    inputs = keras.Input((4, 4, 8))
    x = layers.Conv2D(6, 1, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    model, dense, masks = pair(keras.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x))))
    x = 5 + np.random.default_rng(1).normal(size=(300, 4, 4, 8)).astype("f4")

    reconstruct(model, dense, masks, {"conv": 0.8}, Samples(lambda: [x], len(x), seed=0))

    def mean(network: Any) -> np.ndarray:
        upto = keras.Model(network.inputs, network.get_layer("norm").output)
        return np.asarray(upto.predict(x, verbose=0).mean(axis=(0, 1, 2)))

    assert np.allclose(mean(model), mean(dense), atol=1e-3)
    assert not np.allclose(model.get_layer("norm").moving_mean, 0.0)


def test_whole_units_go_with_their_biases_and_their_consumers_are_solved_on_the_rest() -> None:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((10,))
    hidden = layers.Dense(40, "relu", bias_initializer="ones", name="hidden")(inputs)
    model, dense, masks = pair(keras.Model(inputs, layers.Dense(3, name="out")(hidden)))

    def strongest_columns(scores: np.ndarray, sparsity: float, within: np.ndarray) -> np.ndarray:
        norms = np.linalg.norm(scores, axis=0)
        return within & (norms >= np.quantile(norms, sparsity))

    solved = reconstruct(model, dense, masks, {"hidden": 0.5}, samples((10,)), keep=strongest_columns, zero_bias=True)

    gone = ~masks.mask("hidden").any(axis=0)
    x = np.random.default_rng(2).normal(size=(300, 10)).astype("f4")
    plain = keras.models.clone_model(dense)
    plain.set_weights(dense.get_weights())
    plain.get_layer("hidden").set_weights([value * ~gone for value in dense.get_layer("hidden").get_weights()])
    assert solved == ["hidden", "out"]
    assert gone.sum() == 20
    assert (np.asarray(model.get_layer("hidden").bias)[gone] == 0).all()
    assert masks.mask("hidden")[:, ~gone].all()
    assert error(model, dense, x) < 0.5 * error(plain, dense, x)


def test_a_criterion_of_ones_own_decides_what_goes() -> None:
    model, dense, masks = pair(residual_network())
    asked = set[str]()

    def the_first_inputs(name: str, weights: np.ndarray) -> np.ndarray:
        asked.add(name)
        return np.broadcast_to(-np.arange(float(len(weights)))[:, None], weights.shape)

    reconstruct(model, dense, masks, {"hidden": 0.5}, samples((8, 8, 3)), score=the_first_inputs)

    assert asked == {"hidden"}
    assert masks.mask("hidden")[:8].all()
    assert not masks.mask("hidden")[8:].any()


def test_a_layer_that_is_called_twice_is_solved_on_the_rows_of_both_calls() -> None:
    keras.utils.set_random_seed(5)
    left, right = keras.Input((12,)), layers.Dense(12, name="turn")
    twice = layers.Dense(12, name="twice")
    both = layers.Concatenate()([twice(left), twice(right(left))])
    model, dense, masks = pair(keras.Model(left, layers.Dense(2, name="out")(both)))
    x = np.random.default_rng(3).normal(size=(500, 12)).astype("f4")

    solved = reconstruct(model, dense, masks, {"twice": 0.5}, samples((12,)))

    assert solved == ["twice", "out"] or solved == ["twice", "turn", "out"]
    assert (masks.weights("twice") == 0).mean() == 0.5
    assert error(model, dense, x) < 0.8


def test_layers_that_cannot_be_solved_are_cut_all_the_same() -> None:
    """Fewer zeros than were asked for would be the worse answer."""
    inputs = keras.Input((4, 6))
    odd = layers.EinsumDense("abc,bcd->abd", (4, 6), name="odd")(inputs)
    model, dense, masks = pair(keras.Model(inputs, layers.Dense(2, name="out")(odd)))

    solved = reconstruct(model, dense, masks, {"odd": 0.5}, samples((4, 6)))

    assert solved == ["out"]
    assert (masks.weights("odd") == 0).mean() == 0.5
    assert "no plain matrix product" in (reason_not_reconstructable(model.get_layer("odd"), graph_of(model)) or "")


def test_layers_that_are_too_large_say_so() -> None:
    inputs = keras.Input((7000,))
    model = keras.Model(inputs, layers.Dense(1, name="wide")(inputs))

    assert (
        reason_not_reconstructable(model.layers[-1], graph_of(model))
        == "its units have 7,000 inputs, and 6,000 is the most"
    )


def test_a_cut_that_no_training_follows_is_repaired_by_default_and_says_so(model_file: Path, data_file: Path) -> None:
    recipe = Recipe(steps=(Prune(sparsity=0.97, schedule=OneShot()),))
    first = load(recipe, model=model_file, dataset=data_file, reading=Reading(scale="1/255"))
    inputs = first.context.feed(first.context.data.test.x)
    original = predict(first.model, inputs)

    def pruned(later: Sequence[Step] = (), **choices: Any) -> tuple[Run, float]:
        """The job behind the step, and how far its network agrees with the original."""
        run = first.fork(recipe, copy_of(first.model))
        prune(run, Prune(sparsity=0.97, schedule=OneShot(), **choices), "prune", later, lambda at: None, none)
        return run, run.context.objective.agreement(original, predict(run.model, inputs))

    (repaired, close), (plain, far) = pruned(), pruned(reconstruct=False)
    trained, _ = pruned([Finetune(epochs=1)])

    assert any(
        "Weights reconstructed by least squares on 576 unlabelled samples: conv, hidden, classes" in note
        for note in repaired.notes
    )
    assert close > far
    assert not any("Solved" in note for run in (plain, trained) for note in run.notes)
    assert [run.masks.sparsity() for run in (repaired, plain, trained)] == pytest.approx([0.97] * 3, abs=0.001)


def none(pruner: Pruner) -> Curves:
    raise AssertionError("no distribution asks for curves")
