import keras
import numpy as np

from engine.model import copy_of


def test_a_copy_computes_the_same_also_behind_a_normalisation_of_the_inputs() -> None:
    """Normalization computes with copies of its weights; a teacher without them would teach nonsense."""
    x = np.random.default_rng(0).normal(50, 9, (20, 3)).astype("f4")
    normalise = keras.layers.Normalization()
    normalise.adapt(x)
    model = keras.Sequential([keras.Input((3,)), normalise, keras.layers.Dense(4, "tanh")])

    made = copy_of(model)

    assert np.allclose(made(x), model(x), atol=1e-6)
    assert made.layers[-1] is not model.layers[-1]
