"""Rules of ``keras.ops`` that add, drop or select axes: reductions along positions, slices, axes of size one."""

from collections.abc import Mapping
from typing import Any, Final

from engine.structured.coupling import POSITION, Axes, Axis, CouplingBuilder
from engine.structured.rules.site import Rule, Site, freeze_all


def reduced(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Drop the reduced axes. A reduction along channels mixes them and freezes them."""
    rank, operation = len(site.shape), site.operation
    dropped = _places(operation.axis, rank) if operation.axis is not None else set(range(rank))
    for place in dropped:
        coupling.freeze(site.axes[place], f"{operation.name} reduces its channels")
    kept: list[Axis] = []
    for place, axis in enumerate(site.axes):
        if place not in dropped:
            kept.append(axis)
        elif operation.keepdims:
            kept.append(POSITION)
    return [tuple(kept)]


def expand_dims(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Insert axes of size one."""
    rest = iter(site.axes)
    rank = len(site.out_shapes[0])
    new = _places(site.operation.axis, rank)
    return [tuple(POSITION if place in new else next(rest) for place in range(rank))]


def squeeze(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Drop axes of size one. Without a given axis all are frozen: an axis pruned to size one would be dropped too."""
    if site.operation.axis is None:
        site.freeze(coupling, reason := f"{site.operation.name} drops every axis of size one")
        return [(reason,) * len(site.out_shapes[0])]
    dropped = _places(site.operation.axis, len(site.shape))
    freeze_all(
        coupling, tuple(site.axes[place] for place in dropped), f"{site.operation.name} drops an axis of channels"
    )
    return [tuple(axis for place, axis in enumerate(site.axes) if place not in dropped)]


def get_item(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the selected axes. Selected channels are frozen, because their indices change when others are removed."""
    reason = f"{site.operation.name} selects channels by their indices"
    key = site.argument(1, "key")
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if len(site.given) > 1 or any(not _simple(each) for each in keys):
        site.freeze(coupling, reason)
        return [(reason,) * len(site.out_shapes[0])]
    dots = next((place for place, each in enumerate(keys) if each is Ellipsis), len(keys))
    named = sum(each is not None and each is not Ellipsis for each in keys)
    keys[dots : dots + 1] = [slice(None)] * (len(site.shape) - named)
    made: list[Axis] = []
    rest = iter(site.axes)
    for each in keys:
        if each is None:
            made.append(POSITION)
            continue
        axis = next(rest)
        if each != slice(None):
            coupling.freeze(axis, reason)
            axis = axis if isinstance(axis, str) else reason
        if isinstance(each, slice):
            made.append(axis)
    return [tuple(made)]


def stack(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Join all axes of the stacked tensors, and insert a new axis."""
    rank = len(site.out_shapes[0])
    if site.constants:
        site.freeze(coupling, reason := f"{site.operation.name} joins its channels with arrays that no layer produces")
        return [(reason,) * rank]
    axes = list(site.axes)
    for other in site.given[1:]:
        axes = [coupling.join(ours, theirs) for ours, theirs in zip(axes, other, strict=True)]
    axes.insert(site.operation.axis % rank, POSITION)
    return [tuple(axes)]


def swapaxes(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Swap two axes."""
    axes, one, other = list(site.axes), site.operation.axis1, site.operation.axis2
    axes[one], axes[other] = axes[other], axes[one]
    return [tuple(axes)]


def _places(axis: Any, rank: int) -> set[int]:
    return {each % rank for each in (axis if isinstance(axis, (list, tuple)) else [axis])}


def _simple(key: Any) -> bool:
    return key is None or key is Ellipsis or isinstance(key, (int, slice))


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("Mean", "Max", "Min", "Sum", "Prod", "Var", "Std", "Amax", "Amin", "Any", "All"), reduced),
    "ExpandDims": expand_dims,
    "Squeeze": squeeze,
    "GetItem": get_item,
    "Stack": stack,
    "Swapaxes": swapaxes,
}
