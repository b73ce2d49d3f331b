from typing import Any

import keras
import numpy as np
import pytest

from engine.models.following_batchnorm import scales_units
from engine.reconstruction.batchnorm import compiled, reestimate, reestimate_if_better


@pytest.fixture
def model() -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.BatchNormalization(momentum=0.999, name="first"),
            keras.layers.Dense(4, name="dense"),
            keras.layers.BatchNormalization(momentum=0.999, name="second"),
            keras.layers.Dropout(0.5),
        ]
    )


@pytest.fixture
def batches() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(5.0, 2.0, (200, 3)).astype("f4") for _ in range(4)]


def test_statistics_become_the_mean_over_the_batches(model: Any, batches: list[np.ndarray]) -> None:
    """With the momentum of 0.999 that keras.applications writes, four batches would move them by 0.4 %."""
    assert reestimate(model, batches) == 2

    first = model.get_layer("first")
    assert np.allclose(first.moving_mean, np.mean([b.mean(axis=0) for b in batches], axis=0), atol=1e-4)
    assert np.allclose(first.moving_variance, np.mean([b.var(axis=0) for b in batches], axis=0), atol=1e-3)


def test_only_statistics_change(model: Any, batches: list[np.ndarray]) -> None:
    before = [np.array(w) for w in model.get_layer("dense").get_weights()]
    model.get_layer("second").trainable = False

    reestimate(model, batches)

    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_layer("dense").get_weights(), strict=True))
    assert np.allclose(model.get_layer("first").gamma, 1)
    assert np.allclose(model.get_layer("first").beta, 0)
    assert model.get_layer("first").momentum == 0.999
    assert not model.get_layer("second").trainable
    assert not np.allclose(model.get_layer("second").moving_variance, 1, atol=0.01)


def test_a_pass_that_was_compiled_once_sees_weights_that_changed_since(model: Any, batches: list[np.ndarray]) -> None:
    """That is what it is for: one model, cut again and again. The last batch may be smaller."""
    forward, dense, second = compiled(model), model.get_layer("dense"), model.get_layer("second")
    reestimate(model, [*batches, batches[0][:50]], forward=forward)
    before = np.array(second.moving_variance)

    dense.kernel.assign(2 * dense.kernel)
    reestimate(model, [*batches, batches[0][:50]], forward=forward)

    assert np.allclose(second.moving_variance, 4 * before, rtol=1e-4)


def test_a_model_without_batchnorm_reads_no_batch() -> None:
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    assert reestimate(plain, iter(())) == 0


@pytest.mark.parametrize(("better", "kept"), [(True, True), (False, False)])
def test_statistics_that_serve_worse_are_put_back(
    better: bool, kept: bool, model: Any, batches: list[np.ndarray]
) -> None:
    """After a strong cut, re-estimation can hurt; whichever is judged better stays."""
    old = np.array(model.get_layer("first").moving_mean)
    verdicts = iter([0.5, 0.6 if better else 0.4])

    assert reestimate_if_better(model, batches, judge=lambda: next(verdicts)) is kept

    assert np.allclose(model.get_layer("first").moving_mean, old) is not kept


def test_reestimation_leaves_the_dice_of_dropout_as_they_were() -> None:
    """Or a training after a measurement would differ from one without."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    )
    dice = [variable for variable in model.variables if "seed_generator" in variable.path]
    before = [np.array(variable) for variable in dice]

    reestimate(model, [np.ones((8, 4), "f4")] * 3)

    assert dice
    assert all((np.array(variable) == state).all() for variable, state in zip(dice, before, strict=True))


@pytest.mark.parametrize(("axis", "scales"), [(-1, True), (3, True), (1, False)])
def test_a_norm_scales_units_only_along_their_axis(axis: int, scales: bool) -> None:
    inputs = keras.Input((6, 6, 3))
    conv, norm = keras.layers.Conv2D(6, 1), keras.layers.BatchNormalization(axis=axis)
    keras.Model(inputs, norm(conv(inputs)))

    assert scales_units(norm, conv, 6) is scales
