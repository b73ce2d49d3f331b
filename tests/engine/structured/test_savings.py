"""What a plan costs is told before anybody builds the model, and must be what the built one costs."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.models.costs import num_macs
from engine.structured.groups import channels_of
from engine.structured.savings import Costs, group_infos
from engine.structured.surgery import shrink
from tests.engine.structured.conftest import NETWORKS, kept_at_random


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_what_a_plan_costs_is_what_the_model_costs_that_it_makes(name: str, seed: int) -> None:
    channels = channels_of(NETWORKS[name]())
    kept, costs = kept_at_random(channels, np.random.default_rng(seed)), Costs.of(channels)

    small = shrink(channels, kept)

    assert (costs.params(kept), costs.macs(kept)) == (small.count_params(), num_macs(small))


def test_what_one_channel_takes_with_it_is_counted_by_head() -> None:
    """A filter of 3x3x3 at 4x4 places, its two scales and two statistics, and 3x3 weights of six readers at 2x2."""
    costs = Costs.of(channels_of(NETWORKS["conv_norm"]()))

    one, *_ = group_infos(costs)

    assert (one.name, one.num_channels, one.readers, one.scaled) == ("one", 8, ("two",), True)
    assert one.params_per_channel == 27 + 4 + 9 * 6
    assert one.macs_per_channel == 27 * 16 + 9 * 6 * 4


def test_the_whole_costs_what_keras_counts_of_it_with_weights_that_no_training_changes() -> None:
    model = NETWORKS["conv_norm"]()
    model.layers[0].trainable = False
    costs = Costs.of(channels_of(model))

    assert costs.params(costs.channels.all_kept()) == model.count_params()
    assert costs.macs(costs.channels.all_kept()) == num_macs(model)


def test_a_layer_that_is_called_twice_is_one_layer_to_keep_and_two_to_compute() -> None:
    inputs = keras.Input((4,))
    again = keras.layers.Dense(4, use_bias=False)
    costs = Costs.of(channels_of(keras.Model(inputs, again(again(inputs)))))

    whole = costs.channels.all_kept()

    assert (costs.params(whole), costs.macs(whole)) == (16, 32)
