"""What one sample costs, from shapes alone."""

from collections.abc import Callable
from typing import Any

import keras
import pytest

from engine.models.footprint import FREE_SIZE, footprint

layers = keras.layers
Build = Callable[[], Any]


def in_steps(*inner: Any) -> Any:
    """A model that is called for each of three steps."""
    return keras.Sequential([keras.Input((3, 4, 4, 1)), layers.TimeDistributed(keras.Sequential(list(inner)))])


def attended(layer: Any) -> Any:
    """A sequence of 20 that attends to itself."""
    source = keras.Input((20, 4))
    return keras.Model(source, layer(source, source) if "multi" in layer.name else layer([source, source]))


@pytest.mark.parametrize(
    ("build", "values"),
    [
        pytest.param(lambda: keras.Sequential([keras.Input((6,)), layers.Dense(2)]), 6, id="an input"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((None, None, 2)), layers.UpSampling2D(3)]),
            2 * (3 * FREE_SIZE) ** 2,
            id="axes of any size",
        ),
        pytest.param(
            lambda: in_steps(keras.Input((4, 4, 1)), layers.UpSampling2D(10), layers.GlobalMaxPooling2D()),
            40 * 40,
            id="up and down inside a wrapper",
        ),
        pytest.param(lambda: attended(layers.Attention()), 20 * 20, id="scores of attention"),
        pytest.param(lambda: attended(layers.AdditiveAttention()), 20 * 20 * 4, id="scores of additive attention"),
        pytest.param(lambda: attended(layers.MultiHeadAttention(3, 2)), 20 * 20 * 3, id="scores of several heads"),
    ],
)
def test_the_largest_tensor_is_found(build: Build, values: int) -> None:
    """Also where no output of the model's own layers shows it."""
    assert footprint(build()).largest_bytes == 4 * values


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        pytest.param(lambda: keras.Sequential([keras.Input((7, 2)), layers.LSTM(1, unroll=True)]), 7, id="unrolled"),
        pytest.param(lambda: keras.Sequential([keras.Input((7, 2)), layers.LSTM(1)]), 1, id="a loop of TensorFlow"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((7, 2)), layers.Bidirectional(layers.GRU(1, unroll=True))]),
            14,
            id="unrolled in both directions",
        ),
        pytest.param(
            lambda: in_steps(keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)),
            3 * 2,
            id="a model a step",
        ),
    ],
)
def test_steps_that_become_calls_are_counted(build: Build, steps: int) -> None:
    """Python makes them one by one, in every run."""
    assert footprint(build()).num_steps == steps


def test_a_size_that_the_model_cannot_be_called_with_is_left_out() -> None:
    """A window of 100 fits into no input of 32; what the graph says itself is then all that is known."""
    model = keras.Sequential([keras.Input((None, 2)), layers.Conv1D(3, 100)])

    assert footprint(model).largest_bytes == 4 * 3
