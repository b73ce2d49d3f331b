"""The four axes together, on real kernels: what a prune step asks for is what it gets."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.pruning.observe import Observer
from engine.pruning.pruner import Pruner, groups_of, scorer
from secateur.specs.pruning import OneShot, Polynomial, Prune
from tests.engine.conftest import cut, make_model

X = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("f4")
Y = np.arange(64) % 4


def network() -> Any:
    """Every kind of kernel that pruning knows, some with BatchNorm behind, one inside a nested model."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inner = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(8, 1, name="deep"), layers.ReLU()], name="inner")
    inputs = keras.Input((8, 8, 1))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, padding="same", name="conv")(inputs))
    x = inner(layers.ReLU()(x))
    x = layers.SeparableConv2D(12, 3, name="separable")(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, name="transposed")(x)
    x = layers.Reshape((12, 48))(x)
    x = layers.Conv1D(8, 3, groups=2, name="conv1d")(x)
    x = layers.EinsumDense("abc,cde->abde", output_shape=(10, 2, 4), bias_axes="de", name="einsum")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(16, activation="relu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="classes")(x))


def observer(model: Any, masks: Masks) -> Observer:
    loss = keras.losses.SparseCategoricalCrossentropy()
    return Observer(model, masks.kernels, loss, lambda: [(X[:32], Y[:32]), (X[32:], Y[32:])])


def cutting(model: Any, **choices: Any) -> tuple[Pruner, Masks]:
    step = Prune(**{"schedule": OneShot(), **choices})
    masks = Masks(prunable_kernels(model))
    return Pruner(masks, step, scorer(step, observer(model, masks), seed=0)), masks


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "snip", "wanda", "random"])
@pytest.mark.parametrize("structure", ["weight", "unit"])
def test_every_criterion_cuts_every_kind_of_layer(criterion: str, structure: str) -> None:
    model = network()
    at_work, masks = cutting(model, criterion=criterion, structure=structure, sparsity=0.5)

    at_work.to(0.5)

    assert set(masks.names) == {"conv", "inner/deep", "separable", "transposed", "conv1d", "einsum", "dense"}
    for name in masks.names:
        assert (masks.weights(name) == 0).mean() == pytest.approx(0.5, abs=0.02), name
    assert np.isfinite(np.asarray(model(X))).all()


@pytest.mark.parametrize("criterion", ["l1_norm", "l2_norm", "fpgm"])
def test_whole_units_go_with_their_biases(criterion: str) -> None:
    """A filter whose bias stayed would go on giving a constant, and could not be removed."""
    model = network()
    for layer in ("dense", "einsum", "transposed"):
        model.get_layer(layer).bias.assign(np.ones(model.get_layer(layer).bias.shape))
    at_work, masks = cutting(model, criterion=criterion, structure="unit", sparsity=0.5)

    at_work.to(0.5)

    for name in ("dense", "einsum", "transposed"):
        alive = masks.layout(name).matrix(masks.weights(name)).any(axis=0)
        assert np.asarray(model.get_layer(name).bias).ravel().tolist() == alive.astype(float).tolist()
        assert alive.mean() == 0.5


def test_the_bias_of_a_unit_that_is_gone_does_not_come_back_in_training() -> None:
    model = network()
    masks = Masks(prunable_kernels(model))
    cut(masks, 0.5, structure="unit", criterion="l2_norm")
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")

    model.fit(X, Y, epochs=2, verbose=0)

    gone = ~masks.layout("dense").matrix(masks.mask("dense")).any(axis=0)
    assert gone.sum() == 8
    assert (np.asarray(model.get_layer("dense").bias)[gone] == 0).all()
    assert (np.asarray(model.get_layer("dense").bias)[~gone] != 0).all()


def test_bn_scale_ranks_units_by_the_norm_behind_them() -> None:
    model = network()
    model.get_layer("norm").gamma.assign([0.1, 2, 2, 0.2, 2, 0.3, 0.4, 2])
    others = [name for name in Masks(prunable_kernels(network())).names if name != "conv"]
    at_work, masks = cutting(model, criterion="bn_scale", structure="unit", sparsity=0.5, skip_layers=others)

    at_work.to(0.5)

    alive = masks.layout("conv").matrix(masks.weights("conv")).any(axis=0)
    assert alive.tolist() == [False, True, True, False, True, False, False, True]


def test_wanda_sees_the_inputs_of_every_kind_of_layer() -> None:
    """Recomputed by hand for a layer deep inside, behind a nested model."""
    model = network()
    masks = Masks(prunable_kernels(model))

    norms = observer(model, masks).input_norms(masks.names)

    before = keras.Model(model.inputs[0], model.get_layer("dense").input)(X)
    assert norms["dense"][:, 0] == pytest.approx(np.linalg.norm(np.asarray(before), axis=0), rel=1e-4)
    inner_input = keras.Model(model.inputs[0], model.get_layer("inner").input)(X)
    assert norms["inner/deep"][:, 0] == pytest.approx(
        np.linalg.norm(np.asarray(inner_input).reshape(-1, 8), axis=0), rel=1e-4
    )


def test_gradients_are_those_of_the_loss() -> None:
    model = make_model()
    masks = Masks(prunable_kernels(model))
    loss = keras.losses.SparseCategoricalCrossentropy()
    (found,) = Observer(model, masks.kernels, loss, lambda: [(X, Y)]).gradients(masks.names)
    kernel, step = model.get_layer("hidden").kernel, 1e-2

    def at(delta: float) -> float:
        moved = before.copy()
        moved[3, 5] += delta
        kernel.assign(moved)
        return float(loss(Y, model(X)))

    before = masks.weights("hidden")

    assert (at(step) - at(-step)) / (2 * step) == pytest.approx(found["hidden"][3, 5], rel=0.02, abs=1e-5)


@pytest.mark.parametrize("distribution", ["uniform", "global", "erk", "lamp"])
@pytest.mark.parametrize("structure", ["weight", "unit"])
def test_every_distribution_adds_up_to_what_was_asked(distribution: str, structure: str) -> None:
    at_work, masks = cutting(make_model(), distribution=distribution, structure=structure, sparsity=0.7)

    at_work.to(0.7)

    assert masks.sparsity() == pytest.approx(0.7, abs=0.0005 if structure == "weight" else 0.02)
    assert all(masks.mask(name).any() for name in masks.names)


def test_an_absolute_threshold_cuts_exactly_what_lies_under_it() -> None:
    model = make_model()
    before = np.asarray(model.get_layer("hidden").kernel)
    at_work, masks = cutting(model, criterion="threshold", threshold=0.05)

    at_work.to(at_work.final)

    assert ((masks.weights("hidden") == 0) == (np.abs(before) < 0.05)).all()


def test_std_threshold_cuts_each_layer_by_its_own_spread_and_layers_go_before_it() -> None:
    model = make_model()
    before = np.asarray(model.get_layer("hidden").kernel)
    at_work, masks = cutting(model, criterion="std_threshold", quality=0.8, layers={"conv": 0.25})

    at_work.to(at_work.final)

    assert ((masks.weights("hidden") == 0) == (np.abs(before) < 0.8 * before.std())).all()
    assert (masks.weights("conv") == 0).mean() == 0.25


def test_a_recoverable_cut_gives_a_weight_back_with_the_value_it_had() -> None:
    """The weight that was smallest at the first cut is not the smallest at the second."""
    step = Prune(sparsity=0.5, schedule=Polynomial(recoverable=True), skip_layers=("conv",))
    model = make_model()
    masks = Masks(prunable_kernels(model))
    kernel = np.linspace(1.0, 2.0, masks.weights("hidden").size, dtype="f4").reshape(masks.weights("hidden").shape)
    masks.set("hidden", kernel)
    at_work = Pruner(masks, step, scorer(step, observer(model, masks), seed=0))
    at_work.to(0.25)
    gone = masks.mask("hidden") == 0

    shrunk = np.where(gone, 0, masks.weights("hidden") * 0.1)
    model.get_layer("hidden").kernel.assign(shrunk)
    at_work.to(0.5)

    assert masks.mask("hidden")[gone].all()
    assert (masks.weights("hidden")[gone] == kernel[gone]).all()
    assert (masks.weights("hidden") == 0).mean() == 0.5


def test_what_an_earlier_step_has_cut_does_not_come_back_in_a_recoverable_one() -> None:
    model = make_model()
    masks = Masks(prunable_kernels(model))
    cut(masks, 0.5)
    earlier = {name: masks.mask(name) for name in masks.names}
    step = Prune(sparsity=0.6, criterion="random", schedule=Polynomial(recoverable=True))

    at_work = Pruner(masks, step, scorer(step, observer(model, masks), seed=0))
    at_work.to(0.55)
    at_work.to(0.6)

    assert all(not (masks.mask(name) & ~earlier[name]).any() for name in masks.names)


def test_one_layer_can_be_cut_alone_without_changing_anything() -> None:
    model = make_model()
    at_work, masks = cutting(model, sparsity=0.5)
    before = masks.weights("hidden")

    alone = at_work.alone()("hidden", 0.9)

    assert (alone == 0).mean() == pytest.approx(0.9, abs=0.001)
    assert (masks.weights("hidden") == before).all()


def test_data_are_looked_at_once_however_many_cuts_of_single_layers_are_asked_for() -> None:
    """Looking costs as much as measuring, and a sensitivity job cuts every layer many times."""
    model, looks = make_model(), list[None]()
    masks = Masks(prunable_kernels(model))

    def batches() -> list[tuple[np.ndarray, np.ndarray]]:
        looks.append(None)
        return [(X, Y)]

    step = Prune(criterion="wanda", sparsity=0.5, schedule=OneShot())
    watching = Observer(model, masks.kernels, keras.losses.SparseCategoricalCrossentropy(), batches)
    alone = Pruner(masks, step, scorer(step, watching, seed=0)).alone()
    before = len(looks)

    cuts = [alone(name, sparsity) for name in ("conv", "hidden") for sparsity in (0.5, 0.9)]

    assert len(looks) == before > 0
    assert [float((kernel == 0).mean()) for kernel in cuts] == pytest.approx([0.5, 0.9] * 2, abs=0.01)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    widths=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    structure=st.sampled_from(["weight", "unit"]),
    distribution=st.sampled_from(["uniform", "global", "erk", "lamp"]),
    stages=st.lists(st.floats(0.05, 0.98), min_size=1, max_size=4),
)
def test_delivered_is_asked_and_never_falls_for_any_widths(
    widths: list[int], structure: str, distribution: str, stages: list[float]
) -> None:
    inputs = keras.Input((5,))
    x: Any = inputs
    for width in widths:
        x = keras.layers.Dense(width)(x)
    masks = Masks(prunable_kernels(keras.Model(inputs, keras.layers.Dense(2)(x))))
    reached = 0.0

    for sparsity in stages:
        at_work = cut(masks, sparsity, structure=structure, distribution=distribution)

        for name, target in at_work.targets.items():
            groups = groups_of(Prune(sparsity=0.5, structure=structure), masks.layout(name).matrix_shape)  # type: ignore[arg-type]
            delivered = (masks.weights(name) == 0).mean()
            assert delivered >= min(target - 0.5 / groups, 1 - 1 / groups) - 1e-9
            assert masks.mask(name).any()
        assert masks.sparsity() >= reached
        reached = masks.sparsity()


def test_a_unit_that_comes_back_has_its_bias_again() -> None:
    step = Prune(
        structure="unit",
        criterion="l2_norm",
        sparsity=0.5,
        schedule=Polynomial(recoverable=True),
        skip_layers=("conv",),
    )
    model = make_model()
    masks = Masks(prunable_kernels(model))
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(np.ones((128, 32)) * np.linspace(1, 2, 32))
    hidden.bias.assign(np.arange(1.0, 33.0))
    at_work = Pruner(masks, step, scorer(step, observer(model, masks), seed=0))
    at_work.to(0.5)
    assert np.asarray(hidden.bias).tolist() == [0.0] * 16 + [*range(17, 33)]

    hidden.kernel.assign(np.asarray(hidden.kernel) * 0.1)
    at_work.to(0.5)

    assert np.asarray(hidden.bias).tolist() == [*range(1, 17)] + [0.0] * 16


def test_a_unit_that_an_earlier_job_has_cut_stays_without_a_bias() -> None:
    """Its file has zeros in kernel and bias, and a leaky activation would let the bias grow again."""
    layers = [keras.Input((4,)), keras.layers.Dense(8, "leaky_relu", name="hidden"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.get_layer("hidden").bias.assign(np.ones(8))
    cut(Masks(prunable_kernels(model)), 0.5, structure="unit", criterion="l2_norm")
    uploaded = keras.models.clone_model(model)
    uploaded.set_weights(model.get_weights())
    Masks(prunable_kernels(uploaded))

    uploaded.compile("adam", "mse")
    uploaded.fit(np.ones((32, 4)), np.ones((32, 2)), epochs=2, verbose=0)

    gone = ~np.asarray(uploaded.get_layer("hidden").kernel).any(axis=0)
    assert gone.sum() == 4
    assert (np.asarray(uploaded.get_layer("hidden").bias)[gone] == 0).all()
