"""Rules of elementwise operations, on one tensor or on several tensors of matching shapes."""

from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np

from engine.structured.coupling import Axes, Axis, CouplingBuilder
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
"""Elementwise activations."""


def one(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the axes of the input unchanged."""
    return [site.axes]


def dropout(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the axes of the input; a noise shape that contains the number of channels freezes them."""
    for axis, size in zip(site.axes, getattr(site.operation, "noise_shape", None) or (), strict=False):
        if size not in (None, 1):
            coupling.freeze(axis, f"{site.operation.name} has noise of fixed shape")
    return [site.axes]


def activation(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the axes of the input; an activation that mixes channels freezes them."""
    after_activation(site.operation, site.axes, coupling)
    return [site.axes]


def after_activation(layer: Any, axes: Axes, coupling: CouplingBuilder, name: str = "activation") -> None:
    """Freeze the axes that an activation mixes, or that an activation of the user may mix.

    Args:
        layer: the layer or cell with the activation.
        axes: of the layer's output.
        coupling: receives the frozen axes.
        name: of the attribute that holds the activation.
    """
    function = getattr(layer, name, None)
    kind = getattr(function, "__name__", None) or type(function).__name__
    ours = getattr(function, "__module__", type(function).__module__).startswith("keras.")
    if function is not None and not (ours and kind in SEPARATE):
        for axis in axes:
            coupling.freeze(axis, f"{layer.name} has the activation {kind}, which may mix channels")


def softmax(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Freeze the axis of a softmax, because it mixes all values along it."""
    along = site.operation.axis
    for place in range(len(site.axes)) if along is None else np.ravel(along):
        coupling.freeze(site.axes[place], f"{site.operation.name} mixes its channels")
    return [site.axes]


def clip(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the axes of the input; limits with one value for each channel freeze them."""
    if max(np.size(site.operation.x_min), np.size(site.operation.x_max)) > 1:
        site.freeze(coupling, f"{site.operation.name} holds a number for each of its channels")
    return [site.axes]


def masking(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Freeze the channels: a step is masked when all its channels have one value, so masking depends on all of them."""
    coupling.freeze(site.axes[-1], f"{site.operation.name} looks at all channels of a step together")
    return [site.axes]


def average(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Apply ``added`` to the layer; ``keras.ops.average``, of the same name, is a mean along an axis and freezes it."""
    if isinstance(site.operation, keras.layers.Layer):
        return added(site, coupling)
    site.freeze(coupling, reason := f"{site.operation.name} takes the average of its channels")
    return [(reason,) * len(shape) for shape in site.out_shapes]


def joined(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Join the axes of tensors that are combined element by element; axes of size one are broadcast."""
    rank = max(len(shape) for shape in site.shapes)
    for constant in site.constants:
        _meets_constant(site, constant, coupling)
    return [tuple(_joined_axis(site, place - rank, coupling) for place in range(rank))]


def added(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Apply ``joined`` to branches that are added, and tag their channels as a shortcut."""
    axes = joined(site, coupling)
    if len({id(axis[-1]) for axis in site.given}) > 1:
        for each, shape in zip(site.given, site.shapes, strict=True):
            if shape[-1] != 1:
                coupling.tag(each[-1], "shortcut")
    return axes


def _joined_axis(site: Site, place: int, coupling: CouplingBuilder) -> Axis:
    """Return one axis of the result, counted from the end."""
    sizes = [(axes[place], shape[place]) for axes, shape in _reaching(site, place)]
    wide = [axis for axis, size in sizes if size != 1] or [axis for axis, _ in sizes]
    first = wide[0]
    for other in wide[1:]:
        met = coupling.join(first, other)
        first = met if isinstance(met, str) else first
    return first


def _reaching(site: Site, place: int) -> list[tuple[Axes, Any]]:
    return [(axes, shape) for axes, shape in zip(site.given, site.shapes, strict=True) if len(shape) >= -place]


def _meets_constant(site: Site, constant: Any, coupling: CouplingBuilder) -> None:
    """Freeze axes along which a constant has one value for each channel: no layer holds it, so it cannot shrink."""
    shape = np.shape(constant)
    for place in range(-len(shape), 0):
        if shape[place] != 1:
            for axes, _ in _reaching(site, place):
                coupling.freeze(axes[place], f"{site.operation.name} holds a number for each of its channels")


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
