"""What moves channels about: flatten, reshape, permute, concatenate, pad, pool, slice."""

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


def behind(make: Any, shape: tuple[int | None, ...] = (8, 8, 3), filters: int = 8) -> Any:
    """A model of a layer of channels, what is made of them, and dense layers to the output."""
    inputs = keras.Input(shape)
    before = (L.Conv2D if len(shape) == 3 else L.Conv1D)(filters, 3, padding="same", name="before")(inputs)
    made = make(before)
    flat = made if len(made.shape) == 2 else L.Flatten(name="flatten")(made)
    return keras.Model(inputs, L.Dense(2, name="out")(flat))


def why_frozen(model: Any, name: str = "before") -> tuple[str, ...]:
    group = group_of(channels_of(model), name)
    return group.frozen


PASSED = {
    "flatten": L.Flatten(),
    "flattened twice": lambda x: L.Flatten()(L.Flatten()(x)),
    "norm behind flatten": lambda x: L.BatchNormalization()(L.Flatten()(x)),
    "slopes behind flatten": lambda x: L.PReLU()(L.Flatten()(x)),
    "merged positions": L.Reshape((64, 8)),
    "inferred positions": L.Reshape((-1, 8)),
    "inferred channels": L.Reshape((64, -1)),
    "split positions": L.Reshape((4, 2, 8, 8)),
    "axes of one": L.Reshape((8, 1, 8, 8)),
    "split channels": L.Reshape((8, 8, 2, 4)),
    "permuted": lambda x: L.Flatten()(L.Permute((3, 1, 2))(x)),
    "permuted and merged": lambda x: L.Reshape((8, 64))(L.Permute((3, 1, 2))(x)),
    "transposed": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "swapped": lambda x: ops.swapaxes(x, 1, 3),
    "reshaped by ops": lambda x: ops.reshape(x, (-1, 64, 8)),
    "padded": L.ZeroPadding2D(2),
    "cropped": L.Cropping2D(2),
    "larger": L.UpSampling2D(2, interpolation="bilinear"),
    "pooled": lambda x: L.AveragePooling2D(2)(L.MaxPooling2D()(x)),
    "adaptively pooled": lambda x: L.AdaptiveMaxPooling2D(2)(L.AdaptiveAveragePooling2D(4)(x)),
    "mean": L.GlobalAveragePooling2D(),
    "largest": L.GlobalMaxPooling2D(keepdims=True),
    "repeated": lambda x: L.RepeatVector(3)(L.GlobalMaxPooling2D()(x)),
    "mean by ops": lambda x: ops.mean(x, axis=(1, -2)),
    "sum with axes kept": lambda x: ops.sum(x, axis=1, keepdims=True),
    "sliced positions": lambda x: x[:, 1:5, ::2],
    "one position": lambda x: x[:, 0],
    "new axis": lambda x: ops.squeeze(ops.expand_dims(x[..., None], 1), (1, -1)),
    "stacked": lambda x: ops.stack([x, ops.relu(x)], axis=1),
    "side by side": lambda x: L.Concatenate()([x, L.Conv2D(4, 1)(x), x]),
    "along positions": lambda x: L.Concatenate(axis=1)([x, L.Conv2D(8, 1)(x)]),
    "of both batches": lambda x: ops.concatenate([x, ops.relu(x)], axis=0),
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
        (lambda x: L.Reshape((32, 16), name="here")(x), "here splits its channels among axes"),
        (lambda x: ops.reshape(x, (-1, 8)), "reshape merges channels with samples"),
        (lambda x: ops.mean(x, axis=-1), "mean reduces its channels"),
        (lambda x: ops.max(x, axis=(1, 3)), "max reduces its channels"),
        (lambda x: x[..., :4], "selects channels by their indices"),
        (lambda x: x[..., 0], "selects channels by their indices"),
        (lambda x: ops.squeeze(ops.mean(x, axis=1, keepdims=True)), "squeeze drops every axis of size one"),
        (lambda x: ops.split(x, 2, axis=-1)[1], "split (Split) has no rule for channels"),
        (lambda x: ops.matmul(x, np.ones((8, 3), "float32")), "matmul (Matmul) has no rule for channels"),
        (lambda x: ops.einsum("abcd,abce->ade", x, x), "einsum (Einsum) has no rule for channels"),
        (lambda x: ops.concatenate([x, np.ones((2, 8, 8, 8), "float32")], axis=1), "that no layer produces"),
        (lambda x: ops.average(x, axis=-1), "average takes the average of its channels"),
        (lambda x: L.Dot(axes=-1, name="here")([x, x]), "here (Dot) has no rule for channels"),
        (lambda x: L.Conv2D(3, 1, name="here")(L.Permute((3, 1, 2))(x)), "here takes an axis of channels for one of"),
        (lambda x: L.MaxPooling2D(name="here")(L.Permute((3, 1, 2))(x)), "here takes an axis of channels for one of"),
        (lambda x: L.GlobalMaxPooling2D(name="here")(L.Permute((3, 1, 2))(x)), "here takes an axis of channels for"),
        (lambda x: L.UnitNormalization(name="here")(x), "here (UnitNormalization) has no rule for channels"),
    ],
)
def test_channels_are_held_by_what_looks_at_them_together_or_by_number(make: Any, reason: str) -> None:
    frozen = why_frozen(behind(make))

    assert any(reason in each for each in frozen), frozen


def test_axes_of_unknown_size_cannot_be_merged() -> None:
    inputs = keras.Input((None, 3))
    made = L.Flatten(name="flatten")(L.Conv1D(8, 3, name="before")(inputs))

    assert why_frozen(keras.Model(inputs, L.Activation("relu")(made))) != ()
    assert "flatten merges axes of unknown size" in channels_of(keras.Model(inputs, made)).trace.axes[2]


def test_channels_behind_positions_of_unknown_number_pass_a_reshape() -> None:
    inputs = keras.Input((None, 4, 3))
    made = L.Reshape((-1, 8), name="reshape")(L.Conv2D(8, 3, padding="same", name="before")(inputs))
    model = keras.Model(inputs, L.Dense(2)(L.GlobalMaxPooling1D()(made)))

    _, _, small = assert_exact(model)

    assert small.get_layer("reshape").target_shape == (-1, 4)


def test_two_axes_of_channels_cannot_be_merged() -> None:
    tokens = keras.Input((4, 3))
    turned = L.Permute((2, 1))(L.Dense(6, name="before")(tokens))
    model = keras.Model(tokens, L.Dense(2)(L.Flatten(name="flatten")(L.Dense(5, name="mix")(turned))))

    assert why_frozen(model) == why_frozen(model, "mix") == ("flatten merges two axes of channels",)


def test_channels_joined_by_a_branch_of_frozen_ones_keep_their_places() -> None:
    """The model's input stays; the rows behind it in the dense kernel move up."""
    inputs = keras.Input((8, 8, 3))
    made = L.Concatenate()([inputs, L.Conv2D(8, 3, padding="same", name="before")(inputs), inputs])

    _, _, small = assert_exact(keras.Model(inputs, L.Conv2D(2, 1, name="out")(made)))

    assert small.get_layer("out").kernel.shape == (1, 1, 10, 2)


def test_a_layer_called_on_channels_and_on_the_input_keeps_its_size_for_both() -> None:
    """One target shape serves both calls, so that what goes in one would have to go in the other."""
    inputs = keras.Input((16, 8))
    fold = L.Reshape((4, 4, 8), name="fold")
    made = L.Concatenate(axis=1)([fold(inputs), fold(L.Dense(8, name="before")(inputs))])

    assert why_frozen(keras.Model(inputs, L.Dense(2)(L.Flatten()(made)))) != ()
