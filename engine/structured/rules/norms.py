"""Rules of layers with a few numbers for each channel: normalisations, PReLU."""

from collections.abc import Mapping
from typing import Final

import keras
import numpy as np

from engine.structured.coupling import Axes, Book
from engine.structured.rules.site import Rule, Site


def batchnorm(site: Site, book: Book) -> list[Axes]:
    """Each channel by itself."""
    layer = site.operation
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        variable = getattr(layer, name, None)
        if variable is not None:
            book.join(book.dim(layer, variable, 0), site.axes[layer.axis])
    return [site.axes]


def layernorm(site: Site, book: Book) -> list[Axes]:
    """Mean and variance are of all channels together, so that those which stay are scaled anew when some go."""
    layer = site.operation
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    for number, axis in enumerate(axes):
        book.tag(site.axes[axis], "normalized")
        for name in ("gamma", "beta", "scale"):
            variable = getattr(layer, name, None)
            if isinstance(variable, keras.Variable):
                book.join(book.dim(layer, variable, number), site.axes[axis])
    return [site.axes]


def groupnorm(site: Site, book: Book) -> list[Axes]:
    """The same within each group of channels; the groups keep equally many."""
    layer = site.operation
    channels = site.axes[layer.axis]
    for place, axis in enumerate(site.axes):
        if place != layer.axis % len(site.shape):
            book.freeze(axis, f"{layer.name} takes an axis of channels for one of positions")
    if not isinstance(channels, str) and layer.groups == channels.size:
        book.resize(layer, ("groups",), channels)  # each by itself, over its positions
    elif not isinstance(channels, str):
        book.tag(channels, "normalized")
        rows = channels.reshape(layer.groups, -1)
        for row in rows[1:]:
            book.join(rows[0], row)
    for name in ("gamma", "beta"):
        variable = getattr(layer, name, None)
        if variable is not None:
            book.join(book.dim(layer, variable, 0), channels)
    return [site.axes]


def prelu(site: Site, book: Book) -> list[Axes]:
    """A slope for each channel, and for each position along the axes that it does not share."""
    layer = site.operation
    for axis, size in enumerate(layer.alpha.shape):
        if size != 1:
            book.join(book.dim(layer, layer.alpha, axis), site.axes[axis + 1])
    return [site.axes]


def layerscale(site: Site, book: Book) -> list[Axes]:
    """A factor for each channel, as ConvNeXt has it."""
    layer = site.operation
    book.join(book.dim(layer, layer.gamma, 0), site.axes[-1])
    book.resize(layer, ("projection_dim",), site.axes[-1])
    return [site.axes]


def constants(site: Site, book: Book) -> list[Axes]:
    """Factors from a config: the same for all channels, or nobody may cut."""
    layer = site.operation
    held = [getattr(layer, name, None) for name in ("scale", "offset", "mean", "variance")]
    if any(np.size(value) > 1 for value in held if value is not None):
        reason = f"{layer.name} holds a number for each of its channels"
        site.freeze(book, reason)
        return [tuple(axis if isinstance(axis, str) else reason for axis in site.axes)]
    return [site.axes]


RULES: Final[Mapping[str, Rule]] = {
    "BatchNormalization": batchnorm,
    "LayerNormalization": layernorm,
    "RMSNormalization": layernorm,
    "GroupNormalization": groupnorm,
    "PReLU": prelu,
    "LayerScale": layerscale,
    **dict.fromkeys(("Rescaling", "Normalization"), constants),
}
