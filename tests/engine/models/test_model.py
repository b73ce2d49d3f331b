import keras
import numpy as np
import pytest
from keras import layers

from engine.inspection.summary import summarise
from engine.models.model import copy_of
from engine.structured.groups import channels_of
from engine.structured.savings import Costs


def residual() -> keras.Model:
    """A shortcut, a convolution that is called twice, and one of its groups read at two places."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="stem_norm")(x)
    shared = layers.Conv2D(16, 3, padding="same", name="shared")
    inner = layers.Conv2D(8, 1, name="inner")(shared(shared(x)))
    x = layers.Add(name="join")([x, layers.Conv2D(16, 1, name="back")(inner)])
    outputs = layers.Dense(5, name="classes")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs, name="residual")


def test_a_copy_computes_the_same_also_behind_a_normalisation_of_the_inputs() -> None:
    """Normalization computes with copies of its weights; a teacher without them would teach nonsense."""
    x = np.random.default_rng(0).normal(50, 9, (20, 3)).astype("f4")
    normalise = keras.layers.Normalization()
    normalise.adapt(x)
    model = keras.Sequential([keras.Input((3,)), normalise, keras.layers.Dense(4, "tanh")])

    made = copy_of(model)

    assert np.allclose(made(x), model(x), atol=1e-6)
    assert made.layers[-1] is not model.layers[-1]


def test_a_summary_tells_what_each_layer_costs() -> None:
    summary = summarise(residual())

    assert {layer.name: layer.num_macs for layer in summary.layers if layer.num_macs} == {
        "stem": 64 * 27 * 16,
        "shared": 2 * 64 * 9 * 16 * 16,
        "inner": 64 * 16 * 8,
        "back": 64 * 8 * 16,
        "classes": 16 * 5,
    }
    assert summary.num_macs == sum(layer.num_macs for layer in summary.layers)


def test_a_summary_tells_which_channels_go_together_and_why_some_cannot() -> None:
    """What an engineer asks before any job: which layers make a group, who reads it, and what it is spared for."""
    groups = {group.name: group for group in summarise(residual()).groups}

    assert groups["stem"].layers == ("stem", "shared", "back")
    assert groups["stem"].tags == ("first", "shortcut")
    assert groups["inner"].layers == ("inner",)
    assert groups["inner"].readers == ("back",)
    assert groups["inner"].params_per_channel == 16 + 1 + 16
    assert groups["inner"].macs_per_channel == 64 * 16 + 64 * 16
    assert groups["classes"].frozen == ("it makes an output of the model",)


@pytest.mark.parametrize("number", range(3))
def test_what_a_channel_saves_is_the_difference_of_two_whole_counts(number: int) -> None:
    """A channel of a group that is both made and read by one kernel takes a row and a column, but their corner once."""
    model = residual()
    costs = Costs.of(channels_of(model))
    group = costs.channels.groups[number]
    whole = costs.channels.all_kept()
    without = whole.copy()
    without[group.channels[0]] = False

    info = summarise(model).groups[number]

    assert info.params_per_channel == costs.params(whole) - costs.params(without)
    assert info.macs_per_channel == costs.macs(whole) - costs.macs(without)


def test_two_groups_that_one_layer_makes_are_told_apart() -> None:
    """Reports, scores and plans know groups by their names: heads must not be taken for channels."""
    inputs = keras.Input((10, 16))
    outputs = layers.Dense(3, name="classes")(layers.MultiHeadAttention(4, 8, name="attention")(inputs, inputs)[:, 0])
    model = keras.Model(inputs, outputs)

    groups = summarise(model).groups

    assert [(group.name, group.unit, group.num_channels) for group in groups[:2]] == [
        ("attention", "heads", 4),
        ("attention (channels)", "channels", 16),
    ]
    assert [group.layers for group in groups[:2]] == [("attention",), ("attention",)]
    found = channels_of(model).group("attention (channels)")
    assert found is not None
    assert len(found.channels) == 16
