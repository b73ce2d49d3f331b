"""Small networks with every way in which channels are made and read, and groups that need no network."""

from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.reconstruction.equations import Samples
from engine.structured.groups import Channels, Group

layers = keras.layers


def dense() -> Any:
    """Two hidden layers."""
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu", name="one"), layers.Dense(5, name="two"), layers.Dense(3)]
    )


def conv_norm() -> Any:
    """A convolution without bias, a normalisation, another convolution."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(8, 3, use_bias=False, name="one"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Conv2D(6, 3, name="two"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="out"),
        ]
    )


def depthwise() -> Any:
    """What a depthwise convolution multiplies goes with the channel that it is made of."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 1, name="one")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(x)
    x = layers.Conv2D(5, 1, name="two")(x)
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def grouped() -> Any:
    """Of every group the same places go."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 1, name="one")(inputs)
    x = layers.Conv2D(8, 3, groups=2, name="two")(x)
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def separable() -> Any:
    """One layer that reads with one kernel and makes with another."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 1, name="one")(inputs)
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, name="two")(x)
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def concat() -> Any:
    """Two groups that one layer reads, and a sum that joins a third with both."""
    inputs = keras.Input((6, 6, 3))
    x, y = (layers.Conv2D(6, 3, padding="same", name=name)(inputs) for name in ("left", "right"))
    x = layers.Concatenate()([x, y])
    y = layers.Conv2D(7, 1, name="mixed")(x)
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(y)))


def joined() -> Any:
    """Both halves of a concatenation and what is added to it are one group of two parts."""
    inputs = keras.Input((6, 6, 3))
    x, y, z = (layers.Conv2D(n, 1, name=name)(inputs) for n, name in ((4, "left"), (4, "right"), (8, "both")))
    x = layers.Add()([layers.Concatenate()([x, y]), z])
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def shortcut() -> Any:
    """A residual block."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    y = layers.Conv2D(6, 3, padding="same", activation="relu", name="inner")(x)
    y = layers.Conv2D(8, 3, padding="same", name="outer")(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def flatten() -> Any:
    """A channel at nine positions is nine inputs of what comes next."""
    inputs = keras.Input((5, 5, 2))
    x = layers.Flatten()(layers.Conv2D(6, 3, activation="relu", name="one")(inputs))
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.Dense(7, name="two")(x)))


def nested() -> Any:
    """A model inside a model."""
    inner = keras.Sequential([keras.Input((6, 6, 8)), layers.Conv2D(6, 3, name="two")], name="inner")
    inputs = keras.Input((6, 6, 3))
    x = inner(layers.Conv2D(8, 1, name="one")(inputs))
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def shared() -> Any:
    """One convolution called twice, once on what it made itself."""
    inputs = keras.Input((6, 6, 3))
    again = layers.Conv2D(6, 3, padding="same", name="again")
    x = again(again(layers.Conv2D(6, 1, name="one")(inputs)))
    return keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


NETWORKS: Final[dict[str, Callable[[], Any]]] = {
    make.__name__: make
    for make in (dense, conv_norm, depthwise, grouped, separable, concat, joined, shortcut, flatten, nested, shared)
}


def kept_at_random(channels: Channels, rng: np.random.Generator) -> Mask:
    """Some channels of every group that is not frozen, of each of its layers at least one."""
    kept = channels.all_kept()
    for group in channels.groups:
        if not group.frozen:
            kept[group.channels] = rng.random(len(group.channels)) < rng.random()
            for part in group.parts:
                kept[rng.choice(part)] = True
    return kept


def without(channels: Channels, layer: str, *places: int) -> Mask:
    """All channels but some of those that a layer makes, by their places."""
    group, kept = channels.group(layer), channels.all_kept()
    assert group is not None
    kept[group.channels[list(places)]] = False
    return kept


def normal(*shape: int, count: int = 300, seed: int = 0) -> Samples:
    """Inputs of no structure, in two batches."""
    x = np.random.default_rng(seed).normal(size=(count, *shape)).astype("f4")
    return Samples(lambda: [x[: count // 2], x[count // 2 :]], count, seed=0)


def group_of(name: str, first: int, width: int, *, parts: tuple[Array, ...] = ()) -> Group:
    """A group of the channels from ``first`` on, as planning sees it."""
    return Group(name, (name,), (), np.arange(first, first + width), "channels", (), (), parts)


def shaken(model: Any, seed: int = 0) -> Any:
    """The same network with other biases and statistics than those that it is born with, which hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if len(variable.shape) == 1:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape) * (1 if "moving_variance" in variable.path else 0.6))
    return model


def rewrite(channels: Channels, layer: str, place: int, like: int | None) -> None:
    """Let a channel be what another one of its group is, or a constant where there is no other: nothing but a bias."""
    group = channels.group(layer)
    assert group is not None
    for dim in channels.members(group, "produces", *(() if like is None else ("along",))):
        values = np.moveaxis(np.array(dim.variable), dim.axis, 0)
        along = channels.along(dim)
        mine = along == group.channels[place]
        values[mine] = 0.0 if like is None else values[along == group.channels[like]]
        dim.variable.assign(np.moveaxis(values, 0, dim.axis))
