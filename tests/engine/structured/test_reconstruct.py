"""What is left computes what the whole did, wherever it can: solved again, or with the mean of what went in a bias."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.structured.groups import channels_of
from engine.structured.reconstruct import add_bias_corrections, bias_corrections, reconstruct_consumers
from engine.structured.surgery import shrink
from tests.engine.structured.conftest import NETWORKS, normal, rewrite, shaken, without

layers = keras.layers


def gap(small: Any, whole: Any) -> float:
    """How far apart the outputs are, relative to the spread of the whole network's, on inputs that nobody solved on."""
    x = np.random.default_rng(7).normal(size=(200, *whole.inputs[0].shape[1:])).astype("f4")
    here, there = (np.asarray(model(x, training=False)) for model in (small, whole))
    return float(np.linalg.norm(here - there) / np.linalg.norm(there - there.mean(axis=0)))


def first_of(name: str) -> str:
    return {"concat": "left", "joined": "left", "shortcut": "stem"}.get(name, "one")


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_channel_that_another_one_doubles_the_whole_outputs_come_back(name: str) -> None:
    """Wherever it is read: behind a normalisation, a depthwise convolution, a shortcut, in groups, in a nested one."""
    keras.utils.set_random_seed(1)
    whole = shaken(NETWORKS[name]())
    rewrite(channels_of(whole), first_of(name), 3, like=1)
    channels = channels_of(whole)
    kept = without(channels, first_of(name), 3)
    small, plain = shrink(channels, kept), shrink(channels, kept)
    masks, told = Masks(prunable_kernels(small)), list[float]()

    notes = reconstruct_consumers(channels, kept, small, masks, normal(*whole.inputs[0].shape[1:]), told.append)

    assert gap(plain, whole) > 0.2
    assert gap(small, whole) < 0.05 * gap(plain, whole), "the pull towards the old weights leaves a little"
    assert told[-1] == 1.0
    assert notes[0].startswith("Weights reconstructed by least squares on 300 unlabelled samples: ")


def test_zeros_of_earlier_steps_outlive_the_repair() -> None:
    keras.utils.set_random_seed(1)
    whole = shaken(NETWORKS["dense"]())
    kernel = np.array(whole.get_layer("two").kernel)
    kernel[:, 2] = 0.0
    kernel[::2, 1] = 0.0
    whole.get_layer("two").kernel.assign(kernel)
    channels = channels_of(whole)
    kept = without(channels, "one", 3)
    small = shrink(channels, kept)
    masks = Masks(prunable_kernels(small))

    reconstruct_consumers(channels, kept, small, masks, normal(6), lambda share: None)

    there = np.array(small.get_layer("two").kernel) != 0
    assert np.array_equal(there, np.delete(kernel, 3, axis=0) != 0)


def test_layers_that_cannot_be_solved_are_named_with_the_reason() -> None:
    inputs = keras.Input((5, 4))
    x = layers.Dense(8, name="one")(inputs)
    whole = keras.Model(inputs, layers.Dense(2, name="out")(layers.LSTM(3, name="memory")(x)))
    channels = channels_of(whole)
    kept = without(channels, "one", 3)
    small = shrink(channels, kept)

    notes = reconstruct_consumers(
        channels, kept, small, Masks(prunable_kernels(small)), normal(5, 4), lambda share: None
    )

    assert "Pruned but not reconstructed: memory (LSTM is no matrix product)." in notes


@pytest.mark.parametrize("name", ["dense", "conv_norm", "depthwise", "grouped", "flatten", "joined", "nested"])
def test_the_mean_of_a_constant_channel_moves_into_biases_and_nothing_changes(name: str) -> None:
    """All that a constant does is to add something to every output of the layers that read it."""
    keras.utils.set_random_seed(1)
    whole = shaken(NETWORKS[name]())
    rewrite(channels_of(whole), first_of(name), 3, like=None)
    channels = channels_of(whole)
    kept = without(channels, first_of(name), 3)

    found = bias_corrections(channels, kept, normal(*whole.inputs[0].shape[1:]))
    small, plain = shrink(channels, kept), shrink(channels, kept)
    add_bias_corrections(found, channels, kept, small)

    assert gap(plain, whole) > 0.05
    assert gap(small, whole) < 1e-5


def test_without_a_bias_the_mean_moves_into_the_normalisation_behind() -> None:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 1, name="one")(inputs)
    x = layers.Conv2D(6, 3, use_bias=False, name="two")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    whole = shaken(keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x))))
    rewrite(channels_of(whole), "one", 3, like=None)
    channels = channels_of(whole)
    kept = without(channels, "one", 3)

    small = shrink(channels, kept)
    notes = add_bias_corrections(bias_corrections(channels, kept, normal(6, 6, 3)), channels, kept, small)

    assert gap(small, whole) < 1e-5
    assert notes == ["The mean output of the removed channels was added to the biases of two."]


def test_units_that_go_together_with_what_they_read_leave_the_biases_of_the_others_in_order() -> None:
    """The layer in the middle loses an input and a unit: the units that stay get theirs, not what has their places."""
    keras.utils.set_random_seed(1)
    whole = shaken(NETWORKS["dense"]())
    rewrite(channels_of(whole), "one", 3, like=None)
    rewrite(channels_of(whole), "two", 0, like=None)
    channels = channels_of(whole)
    kept = without(channels, "one", 3) & without(channels, "two", 0)

    small = shrink(channels, kept)
    add_bias_corrections(bias_corrections(channels, kept, normal(6)), channels, kept, small)

    assert gap(small, whole) < 1e-5


def test_a_layer_without_a_place_for_it_is_named() -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, name="one"), layers.Dense(4, use_bias=False, name="bare")]
    )
    channels = channels_of(model)
    kept = without(channels, "one", 3)

    notes = add_bias_corrections(bias_corrections(channels, kept, normal(6)), channels, kept, shrink(channels, kept))

    assert notes == [
        "The mean output of the removed channels was added to the biases of no layer.",
        "No bias to add the mean output to: bare.",
    ]
