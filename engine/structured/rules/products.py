"""Rules of layers that multiply channels with a kernel: dense layers, convolutions, embeddings."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from engine.structured.coupling import INPUT, Axes, Axis, Book
from engine.structured.rules.elementwise import after_activation
from engine.structured.rules.site import Rule, Site, with_channels


def dense(site: Site, book: Book) -> list[Axes]:
    """(..., inputs) times (inputs, units)."""
    layer = site.operation
    kernel = layer._kernel
    book.join(book.dim(layer, kernel, 0, "reads"), site.axes[-1])
    units = book.dim(layer, kernel, 1, "makes")
    _with_bias(book, layer, units)
    book.resize(layer, ("units",), units)
    made = (*site.axes[:-1], units)
    after_activation(layer, made, book)
    return [made]


def convolution(site: Site, book: Book) -> list[Axes]:
    """Kernel (*window, features of a group, filters); the groups keep equally many of both."""
    layer = site.operation
    features, filters = book.dim(layer, layer.kernel, -2, "reads"), book.dim(layer, layer.kernel, -1, "makes")
    given = site.axes[site.channel_axis]
    if layer.groups == 1:
        book.join(features, given)
    elif features.size == 1:
        filters = _a_group_a_channel(book, layer, given, filters)
    else:
        _in_every_group(book, given, layer.groups, features)
        _in_every_group(book, filters, layer.groups)
    _with_bias(book, layer, filters)
    book.resize(layer, ("filters",), filters)
    if isinstance(given, str) and given == INPUT:
        book.tag(filters, "first")
    made = with_channels(site, filters, book)
    after_activation(layer, made[0], book)
    return made


def transposed(site: Site, book: Book) -> list[Axes]:
    """Kernel (*window, filters, features)."""
    layer = site.operation
    book.join(book.dim(layer, layer.kernel, -1, "reads"), site.axes[site.channel_axis])
    filters = book.dim(layer, layer.kernel, -2, "makes")
    _with_bias(book, layer, filters)
    book.resize(layer, ("filters",), filters)
    made = with_channels(site, filters, book)
    after_activation(layer, made[0], book)
    return made


def depthwise(site: Site, book: Book) -> list[Axes]:
    """Kernel (*window, channels, multiplier): a channel goes with all that is made of it."""
    layer = site.operation
    channels = book.dim(layer, layer.kernel, -2)
    book.join(channels, site.axes[site.channel_axis])
    multiplied = np.repeat(channels, layer.depth_multiplier)
    _with_bias(book, layer, multiplied)
    made = with_channels(site, multiplied, book)
    after_activation(layer, made[0], book)
    return made


def separable(site: Site, book: Book) -> list[Axes]:
    """A depthwise convolution, and a pointwise one behind it."""
    layer = site.operation
    channels = book.dim(layer, layer.depthwise_kernel, -2)
    book.join(channels, site.axes[site.channel_axis])
    book.join(book.dim(layer, layer.pointwise_kernel, -2, "reads"), np.repeat(channels, layer.depth_multiplier))
    filters = book.dim(layer, layer.pointwise_kernel, -1, "makes")
    _with_bias(book, layer, filters)
    book.resize(layer, ("filters",), filters)
    if isinstance(site.axes[site.channel_axis], str) and site.axes[site.channel_axis] == INPUT:
        book.tag(filters, "first")
    made = with_channels(site, filters, book)
    after_activation(layer, made[0], book)
    return made


def embedding(site: Site, book: Book) -> list[Axes]:
    """A table (words, features)."""
    layer = site.operation
    features = book.dim(layer, layer._embeddings, 1, "makes")
    book.resize(layer, ("output_dim",), features)
    return [(*site.axes, features)]


def einsum_dense(site: Site, book: Book) -> list[Axes]:
    """Letters that input and output share pass, those of the kernel alone are units, the rest is summed over."""
    layer = site.operation
    operands, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    if not _plain(inputs, kernel, output):
        site.freeze(book, reason := f"{layer.name} sums along axes that its kernel has not")
        return [(reason,) * len(site.out_shapes[0])]
    known: dict[str, Axis] = dict(zip(reversed(inputs.replace("...", "")), reversed(site.axes), strict=False))
    dots = site.axes[: len(site.axes) - len(inputs.replace("...", ""))] if "..." in inputs else ()
    for axis, letter in enumerate(kernel):
        role: Any = "makes" if letter not in inputs else "along" if letter in output else "reads"
        labels = book.dim(layer, layer._kernel, axis, role)
        known[letter] = book.join(labels, known[letter]) if letter in inputs else labels
    made = [known[letter] for letter in output.replace("...", "")]
    axes: Axes = (*dots, *made)
    sizes = np.atleast_1d(np.array(layer.partial_output_shape, dtype=object))
    for number in range(1, sizes.size + 1):  # from the end: what the dots stand for is not in the config
        if sizes[-number] is not None:
            book.resize(layer, ("output_shape", sizes.size - number), axes[-number])
    if layer.bias is not None:
        for number in range(len(layer.bias.shape)):
            if layer.bias.shape[number] != 1:
                book.join(book.dim(layer, layer.bias, number), axes[len(axes) - len(layer.bias.shape) + number])
    after_activation(layer, axes, book)
    return [axes]


def _plain(inputs: str, kernel: str, output: str) -> bool:
    """Whether every letter is of two of the three, or of all, and dots stand in front.

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


def _with_bias(book: Book, layer: Any, units: Axis) -> None:
    if getattr(layer, "bias", None) is not None:
        book.join(book.dim(layer, layer.bias, 0), units)


def _in_every_group(book: Book, axis: Axis, num_groups: int, features: Axis | None = None) -> None:
    """What goes in one group goes at the same place in every other."""
    if isinstance(axis, str):
        if features is not None:
            book.join(features, axis)
        return
    rows = axis.reshape(num_groups, -1)
    for row in rows:
        book.join(rows[0] if features is None else features, row)


def _a_group_a_channel(book: Book, layer: Any, given: Axis, filters: Any) -> Any:
    """A depthwise convolution in other words: whole groups go."""
    made: Array = filters.reshape(layer.groups, -1)
    if isinstance(given, str):
        book.freeze(filters, given)
        return filters
    for place in range(made.shape[1]):
        book.join(given, made[:, place])
    book.resize(layer, ("groups",), given)
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
