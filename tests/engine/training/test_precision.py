"""Mixed precision: what is computed in 16 bits, and what is not."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.training.precision import precision_of, scaled

layers = keras.layers


def model() -> Any:
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner")
    x = keras.Input((8, 8, 4))
    hidden = layers.Dense(8, name="hidden")(layers.Flatten()(inner(x)))
    return keras.Model(x, layers.Activation("softmax", name="softmax")(layers.Dense(3, name="logits")(hidden)))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_all_but_what_makes_the_outputs_computes_in_16_bits_and_only_meanwhile(precision: Any) -> None:
    network = model()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("f4")
    before = network.predict(x, verbose=0)

    with precision_of(network, precision):
        half = precision.removeprefix("mixed_")
        assert network.get_layer("hidden").compute_dtype == half
        assert network.get_layer("inner").layers[0].compute_dtype == half
        assert {network.get_layer(name).compute_dtype for name in ("logits", "softmax")} == {"float32"}
        meanwhile = network.predict(x, verbose=0)

    assert meanwhile.dtype == np.float32
    assert 1e-5 < np.abs(meanwhile - before).max() < 0.05, "it did compute in fewer bits"
    assert np.array_equal(network.predict(x, verbose=0), before)


def test_an_interrupted_training_leaves_the_model_in_float32() -> None:
    network = model()

    with pytest.raises(KeyboardInterrupt), precision_of(network, "mixed_bfloat16"):
        raise KeyboardInterrupt

    assert network.get_layer("hidden").compute_dtype == "float32"


def test_only_float16_needs_its_losses_scaled() -> None:
    assert isinstance(scaled(keras.optimizers.SGD(), "mixed_float16"), keras.optimizers.LossScaleOptimizer)
    assert isinstance(scaled(keras.optimizers.SGD(), "mixed_bfloat16"), keras.optimizers.SGD)
