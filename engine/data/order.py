"""In which order epochs take the samples, and what chance does to their batches: a function of seed and epoch alone.

So epoch 3 is the same epoch 3 in a process that has seen the first two and in one that goes on behind them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Array


@dataclass
class SampleOrder:
    """The orders of a training. ``epoch`` is set when one begins; datasets ask when an iteration over them begins."""

    num_samples: int
    batch_size: int
    seed: int
    epoch: int = 0
    """Counted from 0."""

    def places(self) -> Array:
        """The samples' places in the order of this epoch, every order equally likely.

        >>> SampleOrder(5, 2, seed=7).places(), SampleOrder(5, 2, seed=7, epoch=1).places()
        (array([2, 0, 4, 1, 3]), array([3, 0, 2, 1, 4]))
        """
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)

    def chances(self) -> Array:
        """Two numbers for each batch of this epoch, from which random changes of its samples follow."""
        num_batches = -(-self.num_samples // self.batch_size)
        return np.random.default_rng((self.seed, self.epoch, 1)).integers(2**31, size=(num_batches, 2))


def asked_each_time(ask: Callable[[], Array], *, like: Array) -> Any:
    """A ``tf.data.Dataset`` over the rows of an array that is asked for when an iteration begins.

    Args:
        like: an array of the same type and shape.
    """
    import tensorflow as tf

    def rows(_: Any) -> Any:
        found = tf.numpy_function(ask, [], like.dtype, stateful=True)
        found.set_shape(like.shape)
        return tf.data.Dataset.from_tensor_slices(found)

    return tf.data.Dataset.range(1).flat_map(rows).apply(tf.data.experimental.assert_cardinality(len(like)))
