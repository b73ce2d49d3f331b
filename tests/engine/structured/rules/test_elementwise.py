"""What works number by number, what normalises, and what only looks as if it did."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.structured.groups import channels_of
from tests.engine.structured.masked import assert_exact, group_of

L, ops = keras.layers, keras.ops


@pytest.fixture(autouse=True)
def _names_without_numbers() -> None:
    keras.backend.clear_session(free_memory=False)


def behind(make: Any, filters: int = 8) -> Any:
    inputs = keras.Input((6, 6, 3))
    made = make(L.Conv2D(filters, 3, padding="same", name="before")(inputs))
    return keras.Model(inputs, L.Dense(2, name="out")(L.Flatten()(made)))


def squeezed(x: Any) -> Any:
    """Squeeze-excite."""
    scale = L.Dense(8, "sigmoid", name="excite")(L.Dense(4, "relu", name="squeeze")(L.GlobalAveragePooling2D()(x)))
    return L.Multiply()([x, L.Reshape((1, 1, 8))(scale)])


PASSED = {
    "activations": lambda x: L.ELU()(L.LeakyReLU()(L.ReLU(6.0)(L.Activation("swish")(x)))),
    "noise": lambda x: L.GaussianNoise(0.1)(L.SpatialDropout2D(0.5)(L.Dropout(0.5)(x))),
    "noise along positions": lambda x: L.Dropout(0.5, noise_shape=(None, 1, 6, None))(x),
    "softmax along positions": lambda x: L.Softmax(axis=(1, 2))(x),
    "numbers": lambda x: ops.clip((2.0 * x - 1) / 3 + x**2, -5.0, 5.0),
    "chosen by sign": lambda x: ops.where(x > 0, x, -x),
    "itself twice": lambda x: L.Add()([x, x]),
    "scaling": lambda x: L.Rescaling(0.5, offset=1.0)(x),
    "one number for all": lambda x: x * np.float32(2) + np.ones((1, 1, 1, 1), "float32"),
    "a row of positions": lambda x: x + np.arange(6, dtype="float32").reshape(1, 6, 1, 1),
    "shortcut": lambda x: L.Add()([x, L.Conv2D(8, 1)(x)]),
    "branches": lambda x: L.Average()([L.Maximum()([x, L.Conv2D(8, 1)(x)]), L.Subtract()([x, L.Conv2D(8, 1)(x)])]),
    "a branch of one position": lambda x: L.Add()([x, L.GlobalMaxPooling2D(keepdims=True)(x)]),
    "a branch of fewer axes": lambda x: L.Add()([x, L.Dense(8)(L.GlobalMaxPooling2D()(x))]),
    "a branch of one channel": lambda x: L.Multiply()([x, L.Conv2D(1, 1, activation="sigmoid")(x)]),
    "squeeze-excite": squeezed,
    "batch norm": L.BatchNormalization(),
    "batch norm without scale": L.BatchNormalization(scale=False, center=False),
    "slopes": L.PReLU(),
    "slopes a channel": L.PReLU(shared_axes=(1, 2)),
    "slopes a position": L.PReLU(shared_axes=(3,)),
    "layer norm": L.LayerNormalization(),
    "layer norm of everything": L.LayerNormalization(axis=(1, 2, 3)),
    "root mean square": L.RMSNormalization(),
    "group norm": L.GroupNormalization(2),
    "instance norm": L.GroupNormalization(-1),
}


@pytest.mark.parametrize("make", PASSED.values(), ids=PASSED)
def test_channels_pass(make: Any) -> None:
    make = type(make).from_config(make.get_config()) if isinstance(make, L.Layer) else make

    channels, _, _ = assert_exact(behind(make))

    group = group_of(channels, "before")
    assert not group.frozen


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: L.Softmax(name="here")(x), "here mixes its channels"),
        (lambda x: ops.softmax(x, axis=None), "softmax mixes its channels"),
        (lambda x: L.Activation("softmax", name="here")(x), "here has the activation softmax"),
        (lambda x: L.Activation(lambda y: y, name="here")(x), "here has the activation <lambda>"),
        (lambda x: x * np.arange(8, dtype="float32"), "multiply holds a number for each of its channels"),
        (lambda x: ops.clip(x, np.zeros(8), np.ones(8)), "clip holds a number for each of its channels"),
        (lambda x: L.Rescaling([1.0] * 8, name="here")(x), "here holds a number for each of its channels"),
        (lambda x: L.Normalization(mean=[0.0] * 8, variance=[1.0] * 8, name="here")(x), "here holds a number"),
        (lambda x: L.Dropout(0.5, noise_shape=(None, 1, 1, 8), name="here")(x), "here has noise of fixed shape"),
        (lambda x: L.Lambda(lambda y: y, name="here")(x), "here (Lambda) has no rule for channels"),
        (lambda x: L.Softmax(axis=1, name="here")(x, mask=x > 0), "here takes it as an additional input"),
        (lambda x: L.Add(name="add")([x, keras.ops.cumsum(x, axis=-1)]), "cumsum (Cumsum) has no rule"),
    ],
)
def test_channels_are_held_by_what_looks_at_them_together_or_by_number(make: Any, reason: str) -> None:
    group = group_of(channels_of(behind(make)), "before")

    assert any(reason in each for each in group.frozen), group.frozen


def test_what_is_added_is_a_shortcut_and_what_is_multiplied_is_not() -> None:
    added = group_of(channels_of(behind(lambda x: L.Add()([x, L.Conv2D(8, 1)(x)]))), "before")
    multiplied = group_of(channels_of(behind(squeezed)), "before")

    assert added.tags == ("first", "shortcut")
    assert multiplied.tags == ("first",)
    assert multiplied.layers == ("before", "excite")


def test_a_sum_with_the_input_of_the_model_holds_channels() -> None:
    inputs = keras.Input((6, 6, 3))
    made = L.Add()([inputs, L.Conv2D(3, 3, padding="same", name="held")(inputs)])

    group = group_of(channels_of(keras.Model(inputs, L.Conv2D(2, 1)(made))), "held")

    assert group.frozen == ("its channels meet an axis of the model's input",)


def test_groups_of_a_normalisation_keep_equally_many() -> None:
    channels, _, small = assert_exact(behind(L.GroupNormalization(4, name="norm")))

    group = group_of(channels, "before")
    assert len(group.channels) == 2, "of each of four groups the first, or the second"
    assert (small.get_layer("norm").groups, small.get_layer("norm").gamma.shape) == (4, (4,))


def test_a_layer_of_a_user_is_nothing_that_we_know_even_if_it_is_called_as_one_of_keras() -> None:
    class Dense(L.Dense):
        """Could do anything."""

    group = group_of(channels_of(behind(Dense(4, name="here"))), "before")

    assert group.frozen == ("here (Dense) has no rule for channels",)
