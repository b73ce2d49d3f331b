"""Faults of TensorFlow that samples cause, as errors of our tree."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from secateur.errors import InputShapeMismatch


@contextmanager
def attribute_errors_to_samples() -> Iterator[None]:
    """Turn TensorFlow's word for an impossible input into one that a user understands.

    Raises:
        InputShapeMismatch: for instance a token that an Embedding does not have.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as fault:
        reason = str(fault.message).strip().splitlines()[0][:300]
        raise InputShapeMismatch(
            f"The model cannot compute one of the samples: {reason}",
            suggestions=["Check that the samples hold what the model was trained on, such as known token ids."],
        ) from fault
