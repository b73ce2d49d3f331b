"""From stored samples to model inputs: scaling, reshaping, batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from engine.arrays import Array
from engine.data.order import SampleOrder, asked_each_time
from engine.data.rows import Samples, Stored, stored_parts
from engine.parts import Inputs, Outputs, Parts, arrays_of
from secateur.reports.summaries import TensorInfo
from secateur.specs.scale import MeanDeviation, NamedScale, Scale, Scales, scale_of
from secateur.validation.samples import fed_shape

SCALES: Final[Mapping[NamedScale, tuple[float, float, float]]] = {
    "none": (0.0, 1.0, 0.0),
    "1/255": (0.0, 255.0, 0.0),
    "-1..1": (0.0, 127.5, -1.0),
}
"""Mean, deviation and offset: an input is ``(sample - mean) / deviation + offset``. The division is the documented one:
multiplying by 1 / 127.5 gives other floats, which int8 then rounds to other steps."""


def terms_of(scale: Scale) -> tuple[Array, Array, Array]:
    """Mean, deviation and offset of any scale, as float32: one number each, or one for each channel.

    >>> terms_of(MeanDeviation(mean=(1.0, 2.0), deviation=4.0))[:2]
    (array([1., 2.], dtype=float32), array([4., 4.], dtype=float32))
    """
    if isinstance(scale, MeanDeviation):
        mean, deviation = np.broadcast_arrays(np.asarray(scale.mean), np.asarray(scale.deviation))
        return mean.astype(np.float32), deviation.astype(np.float32), np.zeros((), np.float32)
    mean, deviation, offset = (np.asarray(term, np.float32) for term in SCALES[scale])
    return mean, deviation, offset


AHEAD: Final = 4
"""Batches prepared while the model works on another one; left to itself ``tf.data`` keeps as many as memory holds."""


class Feeding(Protocol):
    """Turns stored samples into inputs of one model: a ``Feed``, or ``Feeds`` of a model with several inputs."""

    @property
    def each(self) -> "tuple[Feed, ...]":
        """One for each input, in the order of the model."""

    def __call__(self, samples: Any, /) -> Inputs:
        """Inputs for a batch of stored samples."""

    def batches(self, samples: Any, size: int) -> Iterator[Inputs]:
        """Inputs in order, ``size`` at a time; of samples in a file, no more are ever read."""


def feeding_of(inputs: Sequence[TensorInfo], scales: Scales) -> Feeding:
    """What feeds a model with these inputs."""
    each = [Feed(scale_of(scales, tensor.name), tensor.shape[1:], tensor.dtype) for tensor in inputs]
    return each[0] if len(each) == 1 else Feeds(tuple(each))


@dataclass(frozen=True)
class Feed:
    """Turns samples into the one input of a model."""

    scale: Scale
    input_shape: tuple[int | None, ...]
    """Of one sample, without the batch axis."""
    dtype: str

    @property
    def each(self) -> "tuple[Feed, ...]":
        """This one."""
        return (self,)

    def __call__(self, samples: Array, /) -> Array:
        """Inputs for a batch of stored samples.

        >>> Feed("1/255", (4,), "float32")(np.full((1, 2, 2), 255, np.uint8))
        array([[1., 1., 1., 1.]], dtype=float32)
        """
        shape = (len(samples), *self.shape_of(samples))
        if not self.dtype.startswith("float"):
            return samples.reshape(shape).astype(self.dtype)
        mean, deviation, offset = terms_of(self.scale)  # of channels: before these are reshaped
        return ((samples.astype(np.float32) - mean) / deviation + offset).reshape(shape).astype(self.dtype)

    def batches(self, samples: Stored, size: int) -> Iterator[Array]:
        """Inputs in order, ``size`` at a time; of samples in a file, no more are ever read."""
        for start in range(0, len(samples), size):
            yield self(samples[start : start + size])

    def shape_of(self, samples: Stored) -> tuple[int, ...]:
        """Of one input; ``secateur.validation.fit`` has seen to it that there is one."""
        shape = fed_shape(samples.shape[1:], self.input_shape)
        assert shape is not None
        return shape


@dataclass(frozen=True)
class Feeds:
    """Turns samples into the inputs of a model with several."""

    each: tuple[Feed, ...]

    def __call__(self, samples: Parts[Array], /) -> Parts[Array]:
        """Inputs for a batch of stored samples, which stand in the order of the model's inputs."""
        return Parts(samples.names, tuple(feed(part) for feed, part in zip(self.each, samples.each, strict=True)))

    def batches(self, samples: Parts[Stored], size: int) -> Iterator[Parts[Array]]:
        """Inputs in order, ``size`` at a time; of samples in a file, no more are ever read."""
        for start in range(0, len(samples), size):
            yield self(samples[start : start + size])


def training_batches(feed: Feeding, x: Samples, y: Outputs, *, order: SampleOrder) -> Any:
    """A split as ``tf.data``, each time in the order of the epoch that ``order`` stands at.

    Only places are shuffled, so that every order is equally likely however large the samples are; a batch reads its
    own samples.
    """
    return _batches(asked_each_time(order.places, like=order.places()), feed, x, y, order.batch_size)


def ordered_batches(feed: Feeding, x: Samples, y: Outputs, *, batch_size: int) -> Any:
    """A split as ``tf.data``, in its order."""
    import tensorflow as tf

    return _batches(tf.data.Dataset.range(len(x)), feed, x, y, batch_size)


def _batches(places: Any, feed: Feeding, x: Samples, y: Outputs, batch_size: int) -> Any:
    """Pairs of inputs and labels, each a tuple where there are several."""
    import tensorflow as tf

    samples, labels = stored_parts(x), arrays_of(y)
    types = tuple(array.dtype.newbyteorder("=") for array in (*samples, *labels))

    def fetch(chosen: Array) -> tuple[Array, ...]:
        stored = (*samples, *labels)
        return tuple(array[chosen].astype(type, copy=False) for array, type in zip(stored, types, strict=True))

    def prepare(chosen: Any) -> tuple[Any, Any]:
        tensors = tf.numpy_function(fetch, [chosen], types, stateful=False)
        inputs = tuple(map(_prepared, feed.each, tensors, samples))
        truths = tuple(tensors[len(samples) :])
        for tensor, array in zip(truths, labels, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        return _alone(inputs), _alone(truths)

    return places.batch(batch_size).map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(AHEAD)


def _alone(tensors: tuple[Any, ...]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _prepared(feed: Feed, samples: Any, stored: Stored) -> Any:
    """The same as ``Feed`` in ``tf.data``: a tensor of stored samples as inputs."""
    import tensorflow as tf

    scale = feed.scale if feed.dtype.startswith("float") else "none"
    samples.set_shape((None, *stored.shape[1:]))
    inputs = tf.cast(samples, feed.dtype)
    if scale != "none":
        mean, deviation, offset = (tf.cast(term, feed.dtype) for term in terms_of(scale))
        inputs = (inputs - mean) / deviation + offset
    return tf.reshape(inputs, (-1, *feed.shape_of(stored)))
