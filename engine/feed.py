"""From stored samples to model inputs: scaling, reshaping, batches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from engine.data.rows import Stored
from jobspec.fit import fed_shape
from jobspec.scale import MeanDeviation, NamedScale, Scale

SCALES: Final[Mapping[NamedScale, tuple[float, float]]] = {
    "none": (1.0, 0.0),
    "1/255": (1.0 / 255.0, 0.0),
    "-1..1": (1.0 / 127.5, -1.0),
}
"""Factor and offset: an input is ``sample * factor + offset``."""


def factor_and_offset(scale: Scale) -> tuple[Array, Array]:
    """The same for any scale, as float32: one number, or one for each channel.

    >>> factor_and_offset(MeanDeviation(mean=(1.0, 2.0), deviation=4.0))
    (array([0.25, 0.25], dtype=float32), array([-0.25, -0.5 ], dtype=float32))
    """
    if isinstance(scale, MeanDeviation):
        mean, deviation = np.broadcast_arrays(np.asarray(scale.mean), np.asarray(scale.deviation))
        return (1.0 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32)
    factor, offset = SCALES[scale]
    return np.asarray(factor, np.float32), np.asarray(offset, np.float32)


AHEAD: Final = 4
"""Batches prepared while the model works on another one; left to itself ``tf.data`` keeps as many as memory holds."""


@dataclass(frozen=True)
class Feed:
    """Turns samples into inputs of one model."""

    scale: Scale
    input_shape: tuple[int | None, ...]
    """Of one sample, without the batch axis."""
    dtype: str

    def __call__(self, samples: Array) -> Array:
        """Inputs for a batch of stored samples.

        >>> Feed("1/255", (4,), "float32")(np.full((1, 2, 2), 255, np.uint8))
        array([[1., 1., 1., 1.]], dtype=float32)
        """
        shape = (len(samples), *self.shape_of(samples))
        if not self.dtype.startswith("float"):
            return samples.reshape(shape).astype(self.dtype)
        factor, offset = factor_and_offset(self.scale)  # of channels: before these are reshaped
        return (samples.astype(np.float32) * factor + offset).reshape(shape).astype(self.dtype)

    def batches(self, samples: Stored, size: int) -> Iterator[Array]:
        """Inputs in order, ``size`` at a time; of samples in a file, no more are ever read."""
        for start in range(0, len(samples), size):
            yield self(samples[start : start + size])

    def shape_of(self, samples: Stored) -> tuple[int, ...]:
        """Of one input; ``jobspec.fit`` has seen to it that there is one."""
        shape = fed_shape(samples.shape[1:], self.input_shape)
        assert shape is not None
        return shape


def training_batches(feed: Feed, x: Stored, y: Array, *, batch_size: int, seed: int) -> Any:
    """An endless shuffle over a split as ``tf.data``: new order each epoch, the same orders for the same seed.

    Only places are shuffled, so that every order is equally likely however large the samples are; a batch reads its
    own samples.
    """
    import tensorflow as tf

    places = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=seed, reshuffle_each_iteration=True)
    return _batches(places, feed, x, y, batch_size)


def ordered_batches(feed: Feed, x: Stored, y: Array, *, batch_size: int) -> Any:
    """A split as ``tf.data``, in its order."""
    import tensorflow as tf

    return _batches(tf.data.Dataset.range(len(x)), feed, x, y, batch_size)


def _batches(places: Any, feed: Feed, x: Stored, y: Array, batch_size: int) -> Any:
    import tensorflow as tf

    factor, offset = factor_and_offset(feed.scale if feed.dtype.startswith("float") else "none")
    shape = feed.shape_of(x)
    plain = bool((factor == 1).all() and (offset == 0).all())
    types = (x.dtype.newbyteorder("="), y.dtype.newbyteorder("="))

    def fetch(chosen: Array) -> tuple[Array, Array]:
        return x[chosen].astype(types[0], copy=False), y[chosen].astype(types[1], copy=False)

    def prepare(chosen: Any) -> tuple[Any, Any]:
        samples, labels = tf.numpy_function(fetch, [chosen], types, stateful=False)
        labels.set_shape((None, *y.shape[1:]))
        samples.set_shape((None, *x.shape[1:]))
        inputs = tf.cast(samples, feed.dtype)
        return tf.reshape(
            inputs if plain else inputs * tf.cast(factor, feed.dtype) + tf.cast(offset, feed.dtype), (-1, *shape)
        ), labels

    return places.batch(batch_size).map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(AHEAD)
