"""Rules of layers with one or more parameters for each channel: normalisations, PReLU, LayerScale."""

from collections.abc import Mapping
from typing import Final

import keras
import numpy as np

from engine.structured.coupling import Axes, CouplingBuilder
from engine.structured.rules.site import Rule, Site


def batchnorm(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each channel with its scale, offset and statistics."""
    layer = site.operation
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        variable = getattr(layer, name, None)
        if variable is not None:
            coupling.join(coupling.dim(layer, variable, 0), site.axes[layer.axis])
    return [site.axes]


def layernorm(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each channel with its scale and offset, and tag it ``normalized``.

    Mean and variance are taken over all channels, so the kept channels are scaled differently when others are removed.
    """
    layer = site.operation
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    for number, axis in enumerate(axes):
        coupling.tag(site.axes[axis], "normalized")
        for name in ("gamma", "beta", "scale"):
            variable = getattr(layer, name, None)
            if isinstance(variable, keras.Variable):
                coupling.join(coupling.dim(layer, variable, number), site.axes[axis])
    return [site.axes]


def groupnorm(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple the channels at the same place of each group, so that all groups keep the same number of channels."""
    layer = site.operation
    channels = site.axes[layer.axis]
    for place, axis in enumerate(site.axes):
        if place != layer.axis % len(site.shape):
            coupling.freeze(axis, f"{layer.name} takes an axis of channels for one of positions")
    if not isinstance(channels, str) and layer.groups == channels.size:
        coupling.resize(layer, ("groups",), channels)  # each channel is normalised alone, over its positions
    elif not isinstance(channels, str):
        coupling.tag(channels, "normalized")
        rows = channels.reshape(layer.groups, -1)
        for row in rows[1:]:
            coupling.join(rows[0], row)
    for name in ("gamma", "beta"):
        variable = getattr(layer, name, None)
        if variable is not None:
            coupling.join(coupling.dim(layer, variable, 0), channels)
    return [site.axes]


def prelu(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each slope with its channel; slopes along axes that are not shared also have a position."""
    layer = site.operation
    for axis, size in enumerate(layer.alpha.shape):
        if size != 1:
            coupling.join(coupling.dim(layer, layer.alpha, axis), site.axes[axis + 1])
    return [site.axes]


def layerscale(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each channel with its factor, as ConvNeXt has it."""
    layer = site.operation
    coupling.join(coupling.dim(layer, layer.gamma, 0), site.axes[-1])
    coupling.resize(layer, ("projection_dim",), site.axes[-1])
    return [site.axes]


def constants(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the axes of the input; constants from the config with one value for each channel freeze them."""
    layer = site.operation
    held = [getattr(layer, name, None) for name in ("scale", "offset", "mean", "variance")]
    if any(np.size(value) > 1 for value in held if value is not None):
        reason = f"{layer.name} holds a number for each of its channels"
        site.freeze(coupling, reason)
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
