"""From stored samples to model inputs: scaling, reshaping, batches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from jobspec.fit import fed_shape
from jobspec.spec import Scale

SCALES: Final[Mapping[Scale, tuple[float, float]]] = {
    "none": (1.0, 0.0),
    "1/255": (1.0 / 255.0, 0.0),
    "-1..1": (1.0 / 127.5, -1.0),
}
"""Factor and offset: an input is ``sample * factor + offset``."""


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
        batch = samples.reshape(len(samples), *self.shape_of(samples))
        if not self.dtype.startswith("float"):
            return batch.astype(self.dtype)
        factor, offset = SCALES[self.scale]
        return (batch.astype(np.float32) * np.float32(factor) + np.float32(offset)).astype(self.dtype)

    def batches(self, samples: Array, size: int) -> Iterator[Array]:
        """Inputs in order, ``size`` at a time."""
        for start in range(0, len(samples), size):
            yield self(samples[start : start + size])

    def shape_of(self, samples: Array) -> tuple[int, ...]:
        """Of one input; ``jobspec.fit`` has seen to it that there is one."""
        shape = fed_shape(samples.shape[1:], self.input_shape)
        assert shape is not None
        return shape


def training_batches(feed: Feed, x: Array, y: Array, *, batch_size: int, seed: int) -> Any:
    """An endless shuffle over a split as ``tf.data``: new order each epoch, the same orders for the same seed."""
    import tensorflow as tf

    factor, offset = SCALES[feed.scale] if feed.dtype.startswith("float") else (1.0, 0.0)
    shape = feed.shape_of(x)

    def prepare(samples: Any, labels: Any) -> tuple[Any, Any]:
        batch = tf.cast(tf.reshape(samples, (-1, *shape)), feed.dtype)
        return (batch * factor + offset if (factor, offset) != (1.0, 0.0) else batch), labels

    return (
        tf.data.Dataset.from_tensor_slices((x, y))
        .shuffle(len(x), seed=seed, reshuffle_each_iteration=True)
        .batch(batch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
