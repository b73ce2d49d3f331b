"""Rules of layers that multiply channels with a kernel: dense layers, convolutions, embeddings."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from engine.structured.coupling import INPUT, Axes, Axis, CouplingBuilder
from engine.structured.rules.elementwise import after_activation
from engine.structured.rules.site import Rule, Site, with_channels


def dense(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple inputs and units of a dense layer: (..., inputs) times (inputs, units)."""
    layer = site.operation
    kernel = layer._kernel
    coupling.join(coupling.dim(layer, kernel, 0, "consumes"), site.axes[-1])
    units = coupling.dim(layer, kernel, 1, "produces")
    _with_bias(coupling, layer, units)
    coupling.resize(layer, ("units",), units)
    made = (*site.axes[:-1], units)
    after_activation(layer, made, coupling)
    return [made]


def convolution(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple features and filters of a convolution: kernel (*window, features of a group, filters).

    All groups keep the same number of features and the same number of filters.
    """
    layer = site.operation
    features, filters = (
        coupling.dim(layer, layer.kernel, -2, "consumes"),
        coupling.dim(layer, layer.kernel, -1, "produces"),
    )
    given = site.axes[site.channel_axis]
    if layer.groups == 1:
        coupling.join(features, given)
    elif features.size == 1:
        filters = _one_group_per_channel(coupling, layer, given, filters)
    else:
        _in_every_group(coupling, given, layer.groups, features)
        _in_every_group(coupling, filters, layer.groups)
    _with_bias(coupling, layer, filters)
    coupling.resize(layer, ("filters",), filters)
    if isinstance(given, str) and given == INPUT:
        coupling.tag(filters, "first")
    made = with_channels(site, filters, coupling)
    after_activation(layer, made[0], coupling)
    return made


def transposed(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple features and filters of a transposed convolution: kernel (*window, filters, features)."""
    layer = site.operation
    coupling.join(coupling.dim(layer, layer.kernel, -1, "consumes"), site.axes[site.channel_axis])
    filters = coupling.dim(layer, layer.kernel, -2, "produces")
    _with_bias(coupling, layer, filters)
    coupling.resize(layer, ("filters",), filters)
    made = with_channels(site, filters, coupling)
    after_activation(layer, made[0], coupling)
    return made


def depthwise(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each input channel with all its output channels: kernel (*window, channels, multiplier)."""
    layer = site.operation
    channels = coupling.dim(layer, layer.kernel, -2)
    coupling.join(channels, site.axes[site.channel_axis])
    multiplied = np.repeat(channels, layer.depth_multiplier)
    _with_bias(coupling, layer, multiplied)
    made = with_channels(site, multiplied, coupling)
    after_activation(layer, made[0], coupling)
    return made


def separable(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple a depthwise convolution with the pointwise convolution behind it."""
    layer = site.operation
    channels = coupling.dim(layer, layer.depthwise_kernel, -2)
    coupling.join(channels, site.axes[site.channel_axis])
    coupling.join(
        coupling.dim(layer, layer.pointwise_kernel, -2, "consumes"), np.repeat(channels, layer.depth_multiplier)
    )
    filters = coupling.dim(layer, layer.pointwise_kernel, -1, "produces")
    _with_bias(coupling, layer, filters)
    coupling.resize(layer, ("filters",), filters)
    if isinstance(site.axes[site.channel_axis], str) and site.axes[site.channel_axis] == INPUT:
        coupling.tag(filters, "first")
    made = with_channels(site, filters, coupling)
    after_activation(layer, made[0], coupling)
    return made


def embedding(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Label the features of an embedding table (words, features)."""
    layer = site.operation
    features = coupling.dim(layer, layer._embeddings, 1, "produces")
    coupling.resize(layer, ("output_dim",), features)
    return [(*site.axes, features)]


def einsum_dense(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple the axes of an einsum by their letters.

    Letters in both input and output pass through, letters only in kernel and output are units, all others are summed.
    """
    layer = site.operation
    operands, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    if not _plain(inputs, kernel, output):
        site.freeze(coupling, reason := f"{layer.name} sums along axes that its kernel does not have")
        return [(reason,) * len(site.out_shapes[0])]
    known: dict[str, Axis] = dict(zip(reversed(inputs.replace("...", "")), reversed(site.axes), strict=False))
    dots = site.axes[: len(site.axes) - len(inputs.replace("...", ""))] if "..." in inputs else ()
    for axis, letter in enumerate(kernel):
        role: Any = "produces" if letter not in inputs else "along" if letter in output else "consumes"
        labels = coupling.dim(layer, layer._kernel, axis, role)
        known[letter] = coupling.join(labels, known[letter]) if letter in inputs else labels
    made = [known[letter] for letter in output.replace("...", "")]
    axes: Axes = (*dots, *made)
    sizes = np.atleast_1d(np.array(layer.partial_output_shape, dtype=object))
    for number in range(1, sizes.size + 1):  # from the end: the axes of the dots are not in the config
        if sizes[-number] is not None:
            coupling.resize(layer, ("output_shape", sizes.size - number), axes[-number])
    if layer.bias is not None:
        for number in range(len(layer.bias.shape)):
            if layer.bias.shape[number] != 1:
                coupling.join(coupling.dim(layer, layer.bias, number), axes[len(axes) - len(layer.bias.shape) + number])
    after_activation(layer, axes, coupling)
    return [axes]


def _plain(inputs: str, kernel: str, output: str) -> bool:
    """Whether every letter is in at least two of the three terms, and dots are only at the beginning.

    >>> _plain("...x", "xy", "...y"), _plain("abc", "cd", "ad"), _plain("ab...", "bc", "ac...")
    (True, False, False)
    """
    dotted = [term for term in (inputs, kernel, output) if "." in term]
    bare = [term.replace(".", "") for term in (inputs, kernel, output)]
    counts = Counter("".join(bare))
    return (
        dotted in ([], [inputs, output])
        and all(term.startswith("...") for term in dotted)
        and all(len(set(term)) == len(term) for term in bare)
        and min(counts.values()) >= 2
    )


def _with_bias(coupling: CouplingBuilder, layer: Any, units: Axis) -> None:
    if getattr(layer, "bias", None) is not None:
        coupling.join(coupling.dim(layer, layer.bias, 0), units)


def _in_every_group(coupling: CouplingBuilder, axis: Axis, num_groups: int, features: Axis | None = None) -> None:
    """Join the labels at the same place of every group of a grouped convolution."""
    if isinstance(axis, str):
        if features is not None:
            coupling.join(features, axis)
        return
    rows = axis.reshape(num_groups, -1)
    for row in rows:
        coupling.join(rows[0] if features is None else features, row)


def _one_group_per_channel(coupling: CouplingBuilder, layer: Any, given: Axis, filters: Any) -> Any:
    """Couple a grouped convolution that has one input channel for each group: whole groups are removed."""
    made: Array = filters.reshape(layer.groups, -1)
    if isinstance(given, str):
        coupling.freeze(filters, given)
        return filters
    for place in range(made.shape[1]):
        coupling.join(given, made[:, place])
    coupling.resize(layer, ("groups",), given)
    return filters


RULES: Final[Mapping[str, Rule]] = {
    "Dense": dense,
    "EinsumDense": einsum_dense,
    "Embedding": embedding,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
}
