"""The tf_keras twin of a model computes what the model computes, or is refused by name."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from engine.bridge.twin import AGREEMENT, bring_back, largest_difference, twin
from secateur.errors import BridgeRefused

layers = keras.layers


def residual() -> Any:
    """Convolutions, BatchNorm, joins, operators, and a slice."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", activation="hard_silu")(x))
    y = layers.DepthwiseConv2D(3, padding="same")(layers.SeparableConv2D(4, 3, padding="same")(x))
    x = layers.Concatenate()([layers.Add()([x, y]), y * 2.0 + 1.0])
    x = 1.0 - layers.PReLU(shared_axes=[1, 2])(x)
    x = keras.ops.mean(keras.ops.relu6(x), axis=(1, 2))
    x = keras.ops.reshape(layers.Dense(6, activation=layers.LeakyReLU(negative_slope=0.1))(x), (-1, 2, 3))
    return keras.Model(image, x[:, 0])


def nested() -> Any:
    """A model inside a model, called twice, and a layer that both share."""
    row = keras.Input((6,))
    shared = layers.Dense(6, activation="hard_sigmoid", name="shared")
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, kernel_regularizer="l2", name="own"), layers.LayerNormalization(), shared],
        name="inner",
    )
    return keras.Model(row, layers.Dense(2, activation="softmax")(inner(shared(inner(row)))))


def recurrent() -> Any:
    """Tokens with padding, through both directions."""
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(20, 6, mask_zero=True),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.GRU(3),
            layers.Dense(2, kernel_constraint="max_norm"),
        ]
    )


def attentive() -> Any:
    """Sequences: attention, einsum, transposed convolutions."""
    steps = keras.Input((6, 8))
    x = layers.MultiHeadAttention(2, 4)(steps, steps)
    x = layers.TimeDistributed(layers.Dense(3))(x)
    x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))(layers.Conv1D(4, 2)(x))
    return keras.Model(steps, layers.GlobalAveragePooling1D()(layers.Conv1DTranspose(3, 2)(x)))


def prepared() -> Any:
    """Statistics that Keras 3 and tf_keras store in different places, and a size that is left open."""
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0]),
            layers.Resizing(4, 4),
            layers.Conv2D(3, 2, activation="relu6"),
            layers.Flatten(),
            layers.Dense(2, activation="silu"),
        ]
    )


@pytest.mark.parametrize("make", [residual, nested, recurrent, attentive, prepared])
def test_a_twin_computes_what_the_model_computes(make: Callable[[], Any]) -> None:
    """Every setting that matters crosses the bridge: strides, slopes, masks, statistics."""
    model = make()
    for variable in model.weights:  # fresh biases and statistics would hide that they were not set
        variable.assign(variable + 0.1 * keras.random.uniform(variable.shape, seed=1))

    made = twin(model)

    assert largest_difference(model, made, seed=7) <= AGREEMENT


def test_weights_go_over_and_come_back_unchanged() -> None:
    """A round trip without training changes nothing."""
    model = residual()
    before = [np.array(weight) for weight in model.get_weights()]

    bring_back(twin(model), model)

    for weight, earlier in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, earlier)


def test_what_a_twin_learned_comes_back_with_its_statistics() -> None:
    """Not only kernels: biases, BatchNorm averages, everything."""
    model = residual()
    made = twin(model)
    made.model.compile(optimizer="adam", loss="mse")
    rng = np.random.default_rng(0)
    made.model.fit(rng.uniform(0, 255, (32, 8, 8, 3)), rng.normal(size=(32, 3)), epochs=2, verbose=0)
    assert largest_difference(model, made) > AGREEMENT, "the comparison sees that the twin has moved"

    bring_back(made, model)

    assert largest_difference(model, made) <= AGREEMENT


def test_shared_layers_stay_shared_and_keep_their_names() -> None:
    """A layer that is called in two places has one set of weights in the twin too."""
    model = nested()

    made = twin(model)

    assert made.model.count_params() == model.count_params()
    assert set(made.layers) >= {"shared", "inner/own", "inner/shared"}
    assert made.layers["shared"] is made.layers["inner/shared"]


def _sequential(layer: Any) -> Any:
    return keras.Sequential([keras.Input((8, 4)), layers.Dense(4, name="fine"), layer])


def _over_an_image(layer: Any) -> Any:
    return keras.Sequential([keras.Input((8, 8, 8)), layer])


def _resizing(**settings: Any) -> Any:
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Resizing(4, 4, name="small", **settings)])


def _functional(operation: Callable[[Any], Any]) -> Any:
    row = keras.Input((4,))
    return keras.Model(row, operation(layers.Dense(4, name="fine")(row)))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: _sequential(layers.RMSNormalization(name="rms")), "'rms' (RMSNormalization)"),
        (lambda: _sequential(layers.Dense(3, activation="glu", name="gated")), "'gated' (Dense)"),
        (lambda: _resizing(antialias=True), "'small' (Resizing)"),
        (lambda: _functional(keras.ops.erf), "(Erf)"),
        (lambda: _over_an_image(layers.Conv2D(2, 3, data_format="channels_first", name="c")), "'c' (Conv2D)"),
        (lambda: _over_an_image(layers.MaxPooling2D(2, data_format="channels_first", name="p")), "'p' (MaxPooling2D)"),
        (lambda: _over_an_image(layers.Conv2DTranspose(2, 3, dilation_rate=2, name="t")), "'t' (Conv2DTranspose)"),
        (lambda: _over_an_image(layers.DepthwiseConv2D(3, strides=(2, 1), name="d")), "'d' (DepthwiseConv2D)"),
        (lambda: _over_an_image(layers.SeparableConv2D(2, 3, strides=(1, 2), name="s")), "'s' (SeparableConv2D)"),
        (lambda: _functional(keras.Sequential([layers.Dense(2, activation="glu", name="d")], name="in")), "'in/d'"),
    ],
    ids=[
        "class",
        "activation",
        "setting",
        "operation",
        "channels first",
        "pooling, channels first",
        "dilated transposed",
        "depthwise, different strides",
        "separable, different strides",
        "inside a model",
    ],
)
def test_what_tf_keras_lacks_is_refused_by_name(make: Callable[[], Any], named: str) -> None:
    """Better no twin than one that computes something else."""
    model = make()

    with pytest.raises(BridgeRefused) as refusal:
        twin(model)

    assert named in refusal.value.detail
    assert refusal.value.suggestions


def test_a_twin_whose_output_is_not_finite_is_refused() -> None:
    """Infinity equals infinity, but nothing can be told from that."""
    model = _functional(lambda x: keras.ops.exp(x * 1e9))

    with pytest.raises(BridgeRefused, match="is not equivalent"):
        twin(model)
