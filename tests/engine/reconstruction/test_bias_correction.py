"""Means by head, and where they go."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.models.graph import Walk, graph_of
from engine.reconstruction.bias_correction import add_to_units, corrections
from engine.reconstruction.equations import Samples
from engine.reconstruction.targets import Target, norm_behind

layers = keras.layers


def target(model: Any, name: str) -> Target:
    layer = model.get_layer(name)
    return Target(name, layer, layer, norm_behind(layer, graph_of(model)))


def given(model: Any, x: np.ndarray, stays: list[bool], name: str = "reads") -> np.ndarray:
    samples = Samples(lambda: [x], len(x), seed=0)
    wanted = {name: (target(model, name), np.array([stays]))}
    return corrections(Walk(model, samples.batches, samples.count), wanted, samples)[name]


def test_a_unit_misses_the_mean_of_each_input_times_its_weight() -> None:
    """Inputs 1 and 3 have means 2 and 5; the second goes."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="reads")])
    model.get_layer("reads").kernel.assign([[1.0, 1.0], [10.0, -1.0]])

    assert given(model, np.array([[1.0, 4.0], [3.0, 6.0]], "f4"), [True, False]) == pytest.approx([50.0, -5.0])


def test_a_convolution_misses_it_at_every_tap_of_its_window() -> None:
    """Two taps on one channel that is 3 everywhere: 3 x (1 + 2)."""
    model = keras.Sequential([keras.Input((5, 1)), layers.Conv1D(1, 2, name="reads")])
    model.get_layer("reads").kernel.assign([[[1.0]], [[2.0]]])

    assert given(model, np.full((4, 5, 1), 3.0, "f4"), [False, False]) == pytest.approx([9.0])


@pytest.mark.parametrize("norm", [False, True], ids=["the bias", "the normalisation behind"])
def test_what_is_added_comes_out_of_every_unit(norm: bool) -> None:
    """A normalisation divides by its deviation, 2, so that what comes out is half of what is added."""
    parts = [layers.Dense(2, use_bias=not norm, name="reads"), *([layers.BatchNormalization(epsilon=0.0)] * norm)]
    model = keras.Sequential([keras.Input((3,)), *parts])
    if norm:
        model.layers[-1].moving_variance.assign([4.0, 4.0])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    before = model.predict(x, verbose=0)

    add_to_units(target(model, "reads"), np.array([2.0, -6.0], "f4"))

    assert model.predict(x, verbose=0) - before == pytest.approx(np.tile([1.0, -3.0], (5, 1)) * (1 if norm else 2))
