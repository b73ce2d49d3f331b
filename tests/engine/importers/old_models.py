"""Small networks of tf_keras that together have what changed between Keras 2 and 3."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras as K
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

L = K.layers


def images() -> Any:
    """Depthwise and separable with ``groups``, slashes in names, activations that changed between versions."""
    x = inputs = K.Input((8, 8, 3))
    x = L.Conv2D(4, 3, activation="hard_sigmoid", name="stem/conv")(x)
    x = L.BatchNormalization(name="stem/norm")(x)
    x = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = L.Activation("hard_sigmoid")(x)
    x = L.SeparableConv2D(6, 3, activation="swish")(L.LeakyReLU(alpha=0.1)(x))
    x = L.ThresholdedReLU(theta=0.1)(L.PReLU(shared_axes=[1, 2])(x))
    return K.Model(inputs, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def sequences() -> Any:
    """Recurrent layers of every gate order, wrapped and stateful arguments, attention."""
    tokens = K.Input((6,), dtype="int32")
    x = L.Embedding(9, 5, mask_zero=True)(tokens)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid"))(x)
    y, state = L.GRU(
        4, return_sequences=True, return_state=True, reset_after=False, recurrent_activation="hard_sigmoid"
    )(x)
    z = L.GRU(4)(L.TimeDistributed(L.Dense(7, activation="relu"))(y), initial_state=state)
    attended = L.MultiHeadAttention(2, 3)(y, x)
    return K.Model(tokens, L.Dense(2)(L.Concatenate()([z, attended[:, -1, :]])))


def branches() -> Any:
    """Two inputs, a model inside that is called twice with a frozen BatchNorm in it, operators."""
    inner = K.Sequential(
        [L.Dense(4, activation="relu", input_shape=(6,)), L.BatchNormalization(), L.Dense(6)], name="inner"
    )
    inner.layers[0].trainable = False
    a, b = K.Input((6,), name="a"), K.Input((6,), name="b")
    x = 1.0 - inner(a) * 0.5 + inner(b) / 2.0
    return K.Model([a, b], L.Dense(1, name="add")(x), name="branches")


def listed() -> Any:
    """What was most common in 2016: a plain chain."""
    layers = [L.Reshape((4, 4, 1), input_shape=(16,)), L.ZeroPadding2D(), L.Conv2D(3, 3, data_format="channels_last")]
    return K.Sequential([*layers, L.MaxPooling2D(), L.Flatten(), L.Dropout(0.3), L.Dense(2, kernel_regularizer="l2")])


def scaled() -> Any:
    """A layer that Keras keeps to one of its applications, registered as if it were somebody's own."""
    a = K.Input((6,))
    return K.Model(a, CustomScaleLayer(0.3)([L.Dense(4)(a), L.Dense(4)(a)]), name="scaled")


MODELS: list[Callable[[], Any]] = [images, sequences, branches, listed, scaled]


def shaken(model: Any) -> Any:
    """The model with weights that all differ, so that two of them in each other's place are seen."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        low = 0.1 if "variance" in variable.name else -0.9
        variable.assign(rng.uniform(low, 0.9, variable.shape).astype(variable.dtype.name))
    return model


def nudged(model: Any) -> Any:
    """A deep model that still computes something: only biases and normalisations are moved."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if len(variable.shape) == 1:
            variable.assign(variable * rng.uniform(0.8, 1.2, variable.shape).astype("float32"))
    return model
