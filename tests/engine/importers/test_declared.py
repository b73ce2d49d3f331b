"""A config is held against its file on a model that has no arrays."""

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras.src.backend.common import global_state

from engine.importers import declared
from screening.costs import limited_to
from secateur.errors import ModelUnreadable, UploadTooCostly
from secateur.protocol.cost_bounds import CostBounds

layers = keras.layers


def dense() -> Any:
    """Two layers of 2001 x 2000 weights, made as a config makes them."""
    return keras.Sequential([keras.Input((2_000,)), layers.Dense(2_000), layers.Dense(2_000)])


def test_weights_that_the_file_does_not_hold_are_refused_and_none_is_made() -> None:
    """A variable without a value takes no memory; Keras must not give it one afterwards."""
    made: list[Any] = []

    def make() -> Any:
        made.append(dense())
        return made[0]

    with pytest.raises(ModelUnreadable, match="declare 8004000 weights, but the file holds only 4002000 numbers"):
        declared.check(make, num_values=4_002_000)

    assert all(weight._value is None for weight in made[0].weights)
    assert not global_state.get_global_attribute(declared.PENDING)


def bidirectional() -> Any:
    """Two LSTMs of 1.3 million weights, of which Keras makes one twice and drops it."""
    config = {"units": 400, "name": "l", "return_sequences": True}
    layer = layers.Bidirectional(layers.LSTM.from_config(config))
    return keras.Sequential([keras.Input((5, 400)), layers.Bidirectional.from_config(layer.get_config())])


@pytest.mark.parametrize("make", [dense, bidirectional])
def test_a_model_whose_weights_are_there_passes(make: Callable[[], Any]) -> None:
    declared.check(make, num_values=make().count_params())

    assert len(dense().get_weights()) == 4  # Keras makes values again


@pytest.mark.parametrize(
    ("bounds", "setting"),
    [
        pytest.param(CostBounds(activation_bytes=7_999), "SECATEUR_MAX_ACTIVATION_BYTES", id="a tensor"),
        pytest.param(CostBounds(sample_macs=7_999_999), "SECATEUR_MAX_SAMPLE_MACS", id="arithmetic"),
        pytest.param(CostBounds(layer_calls=1), "SECATEUR_MAX_LAYER_CALLS", id="calls"),
    ],
)
def test_each_bound_on_one_sample_names_its_setting(bounds: CostBounds, setting: str) -> None:
    with limited_to(bounds), pytest.raises(UploadTooCostly) as refusal:
        declared.check(dense, num_values=8_004_000)

    assert setting in refusal.value.suggestions[-1]


def test_what_compiles_a_model_is_left_out_of_its_config_at_every_depth() -> None:
    config = {"layers": [{"config": {}, "compile_config": {"optimizer": "adam"}}], "compile_config": {}}

    assert declared.without_compiling(config) == {"layers": [{"config": {}}]}
