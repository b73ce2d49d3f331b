"""Convolutions that every machine computes, in place of those that TensorFlow has for some machines only.

Without oneDNN a CPU has no kernel for channels-first and for dilated transposed convolutions, nor, as a GPU too, for
depthwise ones with a stride an axis. ``install`` puts others in their place behind Keras' own functions: layers,
configs and files stay as they are (decision 25). All other convolutions are computed as before.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import tensorflow as tf
from keras.src.backend import nn, standardize_data_format

Convolve = Callable[..., Any]

_INSTALLED: Final = "secateur_native"
_exporting = False
"""Whether a model is being converted, for which no kernel has to run."""


def install() -> None:
    """Let Keras compute with the functions of this module, in this process. Calling it again changes nothing."""
    if hasattr(nn.conv, _INSTALLED):
        return
    for name, function in (
        ("conv", _conv),
        ("conv_transpose", _conv_transpose),
        ("_needs_depthwise_stride_dilation_decomposition", _takes_two_steps),
    ):
        native = getattr(nn, name)
        replacement = partial(function, native)
        setattr(replacement, _INSTALLED, native)
        setattr(nn, name, replacement)


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Keep operations that LiteRT has as they are while a model is converted. Not for use in several threads."""
    global _exporting
    _exporting = True
    try:
        yield
    finally:
        _exporting = False


def _conv(
    native: Convolve,
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    channels_last = partial(native, strides=strides, padding=padding, dilation_rate=dilation_rate)
    return _channels_last(channels_last, inputs, kernel, data_format)


def _conv_transpose(
    native: Convolve,
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    num_axes = len(inputs.shape) - 2
    rates = (dilation_rate,) * num_axes if isinstance(dilation_rate, int) else tuple(dilation_rate)
    if max(rates) > 1 and not (_exporting and num_axes == 3):  # LiteRT has this one, and no dilated Conv3D
        channels_last = partial(_dilated_transpose, padding=padding, output_padding=output_padding, rates=rates)
    else:
        channels_last = partial(
            native, strides=strides, padding=padding, output_padding=output_padding, dilation_rate=dilation_rate
        )
    return _channels_last(channels_last, inputs, kernel, data_format)


def _channels_last(convolve: Convolve, inputs: Any, kernel: Any, data_format: str | None) -> Any:
    """Convolve with the channels on the last axis, whichever axis they are on."""
    if standardize_data_format(data_format) == "channels_last":
        return convolve(inputs, kernel, data_format="channels_last")
    rank = len(inputs.shape)
    moved = tf.transpose(inputs, (0, *range(2, rank), 1))
    return tf.transpose(convolve(moved, kernel, data_format="channels_last"), (0, rank - 1, *range(1, rank - 1)))


def _dilated_transpose(
    inputs: Any, kernel: Any, *, padding: str, output_padding: Any, rates: Sequence[int], data_format: str
) -> Any:
    """A transposed convolution of stride 1, which is a convolution with the window turned round.

    Keras takes no strides beside dilations.
    """
    borders = [(0, 0)]
    for size, rate in zip(kernel.shape[:-2], rates, strict=True):
        reach = (size - 1) * rate
        growth = reach if padding == "valid" else 0 if output_padding is None else reach - 2 * ((reach + 1) // 2)
        before = 0 if padding == "valid" else (reach - growth) // 2
        borders.append((reach - before, growth + before))
    turned = tf.reverse(tf.convert_to_tensor(kernel), range(len(rates)))
    swapped = tf.transpose(turned, (*range(len(rates)), len(rates) + 1, len(rates)))
    padded = tf.pad(inputs, [*borders, (0, 0)])
    return nn.conv(padded, swapped, padding="valid", dilation_rate=tuple(rates), data_format=data_format)


def _takes_two_steps(native: Callable[[Any, Any], bool], strides: Sequence[int], dilation_rate: Any) -> bool:
    """Whether a depthwise convolution takes all positions first, and those of its strides out of them then."""
    return bool(native(strides, dilation_rate)) or (len(set(strides)) > 1 and not _exporting)
