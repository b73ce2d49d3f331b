"""Units of recurrent layers, and layers in wrappers."""

from typing import Any

import keras
import pytest

from engine.structured.groups import channels_of
from tests.engine.structured.masked import assert_exact, group_of

L = keras.layers


def steps(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((4, 3)), *layers, L.Dense(2, name="out")])


@pytest.mark.parametrize(
    "layer",
    [
        L.LSTM(6, return_sequences=True, name="cut"),
        L.LSTM(6, go_backwards=True, use_bias=False, name="cut"),
        L.GRU(6, name="cut"),
        L.GRU(6, reset_after=False, return_sequences=True, name="cut"),
        L.SimpleRNN(6, activation="relu", name="cut"),
        L.Bidirectional(L.LSTM(6, return_sequences=True), name="cut"),
        L.Bidirectional(L.GRU(6), backward_layer=L.GRU(6, go_backwards=True, use_bias=False), name="cut"),
        L.Bidirectional(L.SimpleRNN(6), merge_mode="sum", name="cut"),
        L.Bidirectional(L.LSTM(6), merge_mode="ave", name="cut"),
        L.Bidirectional(L.GRU(6), merge_mode="mul", name="cut"),
    ],
    ids=lambda layer: type(getattr(layer, "layer", layer)).__name__,
)
def test_a_unit_goes_with_its_gates_and_its_state(layer: Any) -> None:
    layer = type(layer).from_config(layer.get_config())

    channels, _, small = assert_exact(steps(L.Dense(4, name="before"), layer))

    group = group_of(channels, "cut")
    assert (group.unit, len(group.channels), group.frozen) == ("units", 6, ())
    assert "cut" in group.consumers, "a recurrent layer reads its own units"
    assert small.get_layer("before").units == 2


def test_two_directions_keep_the_same_units() -> None:
    """Keras takes the size of both halves to be the same, and would tell a wrong shape for any other."""
    _, _, small = assert_exact(steps(L.Bidirectional(L.LSTM(6), name="both")))

    both = small.get_layer("both")
    assert both.forward_layer.units == both.backward_layer.units == 3


def test_states_have_the_units_of_the_layer_that_they_come_from_and_go_to() -> None:
    tokens = keras.Input((4, 3))
    _, hidden, cell = L.LSTM(6, return_state=True, name="encoder")(tokens)
    decoded = L.LSTM(6, name="decoder")(tokens, initial_state=[hidden, cell])

    channels, _, _ = assert_exact(keras.Model(tokens, L.Dense(2)(decoded)))

    group = group_of(channels, "encoder")
    assert group.layers == ("encoder", "decoder")


def test_steps_that_are_masked_stay_masked() -> None:
    tokens = keras.Input((5,), dtype="int32")
    embedded = L.Embedding(5, 8, mask_zero=True, name="words")(tokens)
    model = keras.Model(tokens, L.Dense(2)(L.LSTM(6, name="lstm")(embedded)))

    channels, _, _ = assert_exact(model)

    assert [group.name for group in channels.groups if not group.frozen] == ["words", "lstm"]


def test_who_is_masked_by_the_values_of_all_channels_holds_them() -> None:
    channels = channels_of(steps(L.Dense(4, activation="relu", name="before"), L.Masking(name="mask"), L.GRU(3)))

    group = group_of(channels, "before")
    assert "mask looks at all channels of a step together" in group.frozen


@pytest.mark.parametrize("name", ["activation", "recurrent_activation"])
def test_an_activation_that_mixes_units_holds_them(name: str) -> None:
    channels = channels_of(steps(L.LSTM(6, name="held", **{name: "softmax"})))

    group = group_of(channels, "held")
    assert "softmax" in group.frozen[0]


@pytest.mark.parametrize(
    "layers",
    [
        (L.TimeDistributed(L.Dense(6, name="inner"), name="cut"),),
        (L.TimeDistributed(L.Dense(6), name="cut"), L.TimeDistributed(L.BatchNormalization())),
        (L.Reshape((4, 3, 1)), L.TimeDistributed(L.Conv1D(6, 2), name="cut"), L.TimeDistributed(L.Flatten())),
        (L.Reshape((2, 2, 3)), L.TimeDistributed(L.LSTM(6), name="cut"), L.LSTM(3)),
        (L.Reshape((2, 2, 3)), L.TimeDistributed(L.Bidirectional(L.GRU(3)), name="cut")),
    ],
    ids=["dense", "norm", "conv", "lstm", "bidirectional"],
)
def test_a_wrapper_along_time_passes_what_the_inner_layer_does(layers: Any) -> None:
    channels, _, _ = assert_exact(steps(*[type(layer).from_config(layer.get_config()) for layer in layers]))

    group = group_of(channels, "cut")
    assert not group.frozen


def test_a_wrapper_around_something_unknown_holds_what_goes_in() -> None:
    model = steps(L.Dense(4, name="held"), L.TimeDistributed(L.UnitNormalization(), name="wrap"))

    group = group_of(channels_of(model), "held")

    assert group.frozen == ("wrap wraps UnitNormalization, which has no rule for channels",)
