"""Rules of what works on each number by itself, alone or with the number at the same place of other tensors."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.channels.labels import Axes, Axis, Book
from engine.channels.site import Rule, Site

MIXING: Final = frozenset({"softmax", "log_softmax", "sparsemax", "glu", "gated_linear_unit"})
"""Activations in which channels see each other."""


def one(site: Site, book: Book) -> list[Axes]:
    """One tensor in, the same axes out."""
    return [site.axes]


def activation(site: Site, book: Book) -> list[Axes]:
    """The same, unless the function mixes channels."""
    after_activation(site.operation, site.axes[-1], book)
    return [site.axes]


def after_activation(layer: Any, axis: Axis, book: Book) -> None:
    """Freeze what an activation mixes, or what one of the user's own might."""
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", None) or type(function).__name__
    ours = function is None or getattr(function, "__module__", type(function).__module__).startswith("keras.")
    if not ours or name in MIXING:
        book.freeze(axis, f"{layer.name} has the activation {name}, in which channels may see each other")


def softmax(site: Site, book: Book) -> list[Axes]:
    """Along its axis all numbers see each other."""
    along = getattr(site.operation, "axis", -1)
    for axis in along if isinstance(along, (list, tuple)) else [along]:
        if axis is not None:
            book.freeze(site.axes[axis], f"{site.operation.name} mixes its channels")
    return [site.axes]


def joined(site: Site, book: Book) -> list[Axes]:
    """Tensors meet number by number, those of size one spread along the others: their channels are the same."""
    rank = max(len(shape) for shape in site.shapes)
    for constant in site.constants:
        _meets_constant(site, constant, book)
    return [tuple(_meet(site, place - rank, book) for place in range(rank))]


def added(site: Site, book: Book) -> list[Axes]:
    """The same for branches of a network: who adds them up has a shortcut."""
    axes = joined(site, book)
    if len({id(axis[-1]) for axis in site.given}) > 1:
        for each, shape in zip(site.given, site.shapes, strict=True):
            if shape[-1] != 1:
                book.tag(each[-1], "shortcut")
    return axes


def _meet(site: Site, place: int, book: Book) -> Axis:
    """One axis of the result, counted from the end."""
    sizes = [(axes[place], shape[place]) for axes, shape in _reaching(site, place)]
    wide = [axis for axis, size in sizes if size != 1] or [axis for axis, _ in sizes]
    first = wide[0]
    for other in wide[1:]:
        met = book.join(first, other)
        first = met if isinstance(met, str) else first
    return first


def _reaching(site: Site, place: int) -> list[tuple[Axes, Any]]:
    return [(axes, shape) for axes, shape in zip(site.given, site.shapes, strict=True) if len(shape) >= -place]


def _meets_constant(site: Site, constant: Any, book: Book) -> None:
    """A number for each channel that belongs to no layer cannot be cut."""
    shape = np.shape(constant)
    for place in range(-len(shape), 0):
        if shape[place] != 1:
            for axes, _ in _reaching(site, place):
                book.freeze(axes[place], f"{site.operation.name} holds a number for each of its channels")


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("Add", "Subtract", "Average", "Maximum", "Minimum", "CustomScaleLayer"), added),
    **dict.fromkeys(("Multiply", "Divide", "TrueDivide"), joined),
    **dict.fromkeys(
        (
            "Dropout",
            "SpatialDropout1D",
            "SpatialDropout2D",
            "SpatialDropout3D",
            "AlphaDropout",
            "GaussianDropout",
            "GaussianNoise",
            "ActivityRegularization",
            "Identity",
            "StochasticDepth",
            "ReLU",
            "LeakyReLU",
            "ELU",
        ),
        one,
    ),
    **dict.fromkeys(
        (
            "Relu",
            "Relu6",
            "Sigmoid",
            "HardSigmoid",
            "Silu",
            "HardSilu",
            "LeakyRelu",
            "Elu",
            "Selu",
            "Gelu",
            "Celu",
            "Softplus",
            "Softsign",
            "Tanh",
            "HardTanh",
            "Exp",
            "Square",
            "Sqrt",
            "Rsqrt",
            "Absolute",
            "Negative",
            "Clip",
            "Cast",
        ),
        one,
    ),
    "Activation": activation,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
