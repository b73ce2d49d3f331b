"""Random augmentation of training images in ``tf.data`` batches, reproducible by seed and epoch."""

from typing import Any

from engine.data.order import SampleOrder, asked_each_time
from secateur.specs.training import Augment


def augmented(batches: Any, augment: Augment, *, order: SampleOrder) -> Any:
    """Batches with augmented images; the other elements of the tuples stay unchanged.

    Args:
        batches: a ``tf.data.Dataset`` of tuples that begin with images, shape (n, height, width, channels).
        order: provides the random seed of each batch of the epoch.
    """
    import tensorflow as tf

    seeds = asked_each_time(order.chances, like=order.chances())

    def change(batch: tuple[Any, ...], chance: Any) -> tuple[Any, ...]:
        return (changed(batch[0], augment, tf.cast(chance, tf.int32)), *batch[1:])

    return tf.data.Dataset.zip(batches, seeds).map(change, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def changed(images: Any, augment: Augment, seed: Any) -> Any:
    """Images shifted and mirrored, each at random; a shift repeats the border pixels.

    Args:
        images: shape (n, height, width, channels).
        seed: two integers.
    """
    for axis, flip, salt in ((1, augment.vertical_flip, 0), (2, augment.horizontal_flip, 1)):
        images = _moved(images, axis, augment.shift, flip, seed + salt)
    return images


def _moved(images: Any, axis: int, shift: float, flip: bool, seed: Any) -> Any:
    """Shift all images along one axis at random, and mirror half of them."""
    import tensorflow as tf

    count, size = tf.shape(images)[0], tf.shape(images)[axis]
    places = tf.tile(tf.range(size)[None, :], [count, 1])
    if flip:
        backwards = tf.random.stateless_uniform([count, 1], seed + 2) < 0.5
        places = tf.where(backwards, size - 1 - places, places)
    if shift:
        most = tf.cast(tf.round(shift * tf.cast(size, tf.float32)), tf.int32)
        places += tf.random.stateless_uniform([count, 1], seed + 4, minval=-most, maxval=most + 1, dtype=tf.int32)
    return tf.gather(images, tf.clip_by_value(places, 0, size - 1), axis=axis, batch_dims=1)
