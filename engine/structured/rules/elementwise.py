"""Rules of what works on each number by itself, alone or with the number at the same place of other tensors."""

from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np

from engine.structured.coupling import Axes, Axis, Book
from engine.structured.rules.site import Rule, Site

SEPARATE: Final = frozenset(
    [
        "celu",
        "elu",
        "exponential",
        "gelu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
        "softplus",
        "softsign",
        "sparse_plus",
        "sparse_sigmoid",
        "squareplus",
        "swish",
        "tanh",
        "tanh_shrink",
        "threshold",
        "ReLU",
        "LeakyReLU",
        "ELU",
    ]
)
"""Activations that work on each number by itself."""


def one(site: Site, book: Book) -> list[Axes]:
    """One tensor in, the same axes out."""
    return [site.axes]


def dropout(site: Site, book: Book) -> list[Axes]:
    """The same; a shape of noise that names the number of channels holds it fast."""
    for axis, size in zip(site.axes, getattr(site.operation, "noise_shape", None) or (), strict=False):
        if size not in (None, 1):
            book.freeze(axis, f"{site.operation.name} has noise of fixed shape")
    return [site.axes]


def activation(site: Site, book: Book) -> list[Axes]:
    """The same, unless the function mixes channels."""
    after_activation(site.operation, site.axes, book)
    return [site.axes]


def after_activation(layer: Any, axes: Axes, book: Book, name: str = "activation") -> None:
    """Freeze what an activation mixes, or what one of the user's own might.

    Args:
        layer: what has the activation, or a cell that has.
        axes: of the layer's output.
        name: of the attribute.
    """
    function = getattr(layer, name, None)
    kind = getattr(function, "__name__", None) or type(function).__name__
    ours = getattr(function, "__module__", type(function).__module__).startswith("keras.")
    if function is not None and not (ours and kind in SEPARATE):
        for axis in axes:
            book.freeze(axis, f"{layer.name} has the activation {kind}, in which channels may see each other")


def softmax(site: Site, book: Book) -> list[Axes]:
    """Along its axis all numbers see each other."""
    along = site.operation.axis
    for place in range(len(site.axes)) if along is None else np.ravel(along):
        book.freeze(site.axes[place], f"{site.operation.name} mixes its channels")
    return [site.axes]


def clip(site: Site, book: Book) -> list[Axes]:
    """Limits are numbers; where there is one a channel, nobody may cut."""
    if max(np.size(site.operation.x_min), np.size(site.operation.x_max)) > 1:
        site.freeze(book, f"{site.operation.name} holds a number for each of its channels")
    return [site.axes]


def masking(site: Site, book: Book) -> list[Axes]:
    """A step goes when all its channels have one value: who goes with it depends on all of them."""
    book.freeze(site.axes[-1], f"{site.operation.name} looks at all channels of a step together")
    return [site.axes]


def average(site: Site, book: Book) -> list[Axes]:
    """The layer adds tensors up; ``keras.ops.average``, of the same name, is a sum along an axis."""
    if isinstance(site.operation, keras.layers.Layer):
        return added(site, book)
    site.freeze(book, reason := f"{site.operation.name} takes the average of its channels")
    return [(reason,) * len(shape) for shape in site.out_shapes]


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
    **dict.fromkeys(("Add", "Subtract", "Maximum", "Minimum", "CustomScaleLayer"), added),
    **dict.fromkeys(("Multiply", "Divide", "TrueDivide", "Power", "Where"), joined),
    **dict.fromkeys(("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"), joined),
    **dict.fromkeys(("LogicalAnd", "LogicalOr"), joined),
    **dict.fromkeys(("Dropout", "AlphaDropout"), dropout),
    "Average": average,
    "Clip": clip,
    "Masking": masking,
    **dict.fromkeys(
        (
            "SpatialDropout1D",
            "SpatialDropout2D",
            "SpatialDropout3D",
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
            "Abs",
            "LogSigmoid",
            "Log",
            "Log1p",
            "Reciprocal",
            "Sin",
            "Cos",
            "Erf",
            "Sign",
            "Squareplus",
            "StopGradient",
            "LogicalNot",
            "Cast",
        ),
        one,
    ),
    "Activation": activation,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
