"""Graphs that nobody thought of: whatever the rules let through must be exact."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.structured.groups import channels_of
from tests.engine.structured.masked import assert_exact

L, ops = keras.layers, keras.ops

Pick = Callable[[int], int]
"""A number below another."""


def _convolved(x: Any, pick: Pick) -> Any:
    groups = 2 if x.shape[-1] % 2 == 0 and pick(2) else 1
    return L.Conv2D((4, 6, 8)[pick(3)], 1 + 2 * pick(2), padding="same", groups=groups, activation="relu")(x)


def _matched(x: Any, y: Any) -> Any:
    """A second tensor with the channels of the first."""
    return y if y.shape[-1] == x.shape[-1] else L.Conv2D(x.shape[-1], 1)(y)


def _excited(x: Any) -> Any:
    scale = L.Dense(x.shape[-1], "sigmoid")(L.Dense(3, "relu")(L.GlobalAveragePooling2D()(x)))
    return L.Multiply()([x, L.Reshape((1, 1, x.shape[-1]))(scale)])


def _twice(x: Any, y: Any) -> Any:
    layer, other = L.Conv2D(4, 1), _matched(x, y)
    return L.Concatenate()([layer(x), layer(other)])


def _nested(x: Any, y: Any) -> Any:
    shape = x.shape[1:]
    inner = keras.Sequential([keras.Input(shape), L.SeparableConv2D(4, 3, padding="same"), L.PReLU()])
    return L.Add()([inner(x), inner(_matched(x, y))])


ONE: Final[Mapping[str, Callable[[Any, Pick], Any]]] = {
    "conv": _convolved,
    "depthwise": lambda x, pick: L.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + pick(2))(x),
    "norm": lambda x, pick: (L.BatchNormalization(), L.LayerNormalization(), L.GroupNormalization(-1))[pick(3)](x),
    "activation": lambda x, pick: (L.ReLU(), L.PReLU(), L.Softmax(), L.Activation("tanh"))[pick(4)](x),
    "excite": lambda x, pick: _excited(x),
    "fold": lambda x, pick: L.Reshape((4, 4, x.shape[-1]))(L.Reshape((-1, x.shape[-1]))(x)),
    "turn": lambda x, pick: L.Permute((2, 1, 3))(x),
    "turn away": lambda x, pick: L.Dense(x.shape[-1])(ops.transpose(x, (0, 3, 1, 2))[:, :4]),
    "slice": lambda x, pick: x[..., : max(1, x.shape[-1] // 2)] if pick(3) == 0 else x * 2.0,
    "positions": lambda x, pick: x + ops.mean(x, axis=(1, 2), keepdims=True),
}
TWO: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": lambda x, y: L.Add()([x, _matched(x, y)]),
    "multiply": lambda x, y: L.Multiply()([x, _matched(x, y)]),
    "concatenate": lambda x, y: L.Concatenate()([x, y]),
    "concatenate positions": lambda x, y: L.Cropping2D(((0, 4), (0, 0)))(L.Concatenate(axis=1)([x, _matched(x, y)])),
    "shared": _twice,
    "nested": _nested,
}

Step = tuple[str, int, int, int]
"""What is done, to which tensors, and a number to pick by."""

steps = st.lists(
    st.tuples(st.sampled_from([*ONE, *TWO]), st.integers(0, 9), st.integers(0, 9), st.integers(0, 11)),
    min_size=2,
    max_size=7,
)


def network(plan: list[Step], num_outputs: int) -> Any:
    """A graph in which every step reads what steps before it have made; all have 4 x 4 positions."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    made = [L.Conv2D(6, 3, padding="same")(inputs)]
    for name, one, other, number in plan:
        x, y = made[-1 - one % min(len(made), 3)], made[other % len(made)]
        made.append(TWO[name](x, y) if name in TWO else ONE[name](x, lambda below, number=number: number % below))
    last = L.Dense(3)(L.Flatten()(made[-1]))
    middle = [L.Dense(2)(L.GlobalMaxPooling2D()(made[len(made) // 2])), made[1]]
    return keras.Model(inputs, [last, *middle[: num_outputs - 1]])


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(plan=steps, num_outputs=st.integers(1, 3), seed=st.integers(0, 3))
def test_any_graph_without_some_of_its_channels_is_the_graph_with_zeros_there(
    plan: list[Step], num_outputs: int, seed: int
) -> None:
    keras.backend.clear_session(free_memory=False)
    model = network(plan, num_outputs)
    if _free(model):
        assert_exact(model, seed=seed)


def _free(model: Any) -> bool:
    return any(not group.frozen for group in channels_of(model).groups)


def test_every_kind_of_step_is_made_and_lets_something_through() -> None:
    """So that the random graphs are not frozen ones."""
    for name in (*ONE, *TWO):
        model = network([("conv", 0, 0, 3), (name, 0, 0, 1), ("conv", 0, 0, 0)], 1)

        assert _free(model), name
        assert np.prod(model.output_shape[1:]) == 3
