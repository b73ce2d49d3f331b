"""Rules of ``keras.ops`` that add, drop or pick axes: sums along positions, slices, axes of one."""

from collections.abc import Mapping
from typing import Any, Final

from engine.structured.coupling import POSITION, Axes, Axis, Book
from engine.structured.rules.site import Rule, Site, freeze_all


def reduced(site: Site, book: Book) -> list[Axes]:
    """Along positions a sum, a mean or a maximum leaves channels alone; along channels it mixes them."""
    rank, operation = len(site.shape), site.operation
    gone = _places(operation.axis, rank) if operation.axis is not None else set(range(rank))
    for place in gone:
        book.freeze(site.axes[place], f"{operation.name} sums its channels up")
    kept: list[Axis] = []
    for place, axis in enumerate(site.axes):
        if place not in gone:
            kept.append(axis)
        elif operation.keepdims:
            kept.append(POSITION)
    return [tuple(kept)]


def expand_dims(site: Site, book: Book) -> list[Axes]:
    """New axes of one."""
    rest = iter(site.axes)
    rank = len(site.out_shapes[0])
    new = _places(site.operation.axis, rank)
    return [tuple(POSITION if place in new else next(rest) for place in range(rank))]


def squeeze(site: Site, book: Book) -> list[Axes]:
    """Axes of one go. Which ones has to be said: an axis that is cut down to one would go too."""
    if site.operation.axis is None:
        site.freeze(book, reason := f"{site.operation.name} drops any axis of one")
        return [(reason,) * len(site.out_shapes[0])]
    gone = _places(site.operation.axis, len(site.shape))
    freeze_all(book, tuple(site.axes[place] for place in gone), f"{site.operation.name} drops an axis of channels")
    return [tuple(axis for place, axis in enumerate(site.axes) if place not in gone)]


def get_item(site: Site, book: Book) -> list[Axes]:
    """Picking positions leaves channels alone; picked channels have other numbers once some are gone."""
    reason = f"{site.operation.name} picks channels by their numbers"
    key = site.argument(1, "key")
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if len(site.given) > 1 or any(not _simple(each) for each in keys):
        site.freeze(book, reason)
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
            book.freeze(axis, reason)
            axis = axis if isinstance(axis, str) else reason
        if isinstance(each, slice):
            made.append(axis)
    return [tuple(made)]


def stack(site: Site, book: Book) -> list[Axes]:
    """Side by side along a new axis; along all others they are the same."""
    rank = len(site.out_shapes[0])
    if site.constants:
        site.freeze(book, reason := f"{site.operation.name} puts numbers of nobody's beside its channels")
        return [(reason,) * rank]
    axes = list(site.axes)
    for other in site.given[1:]:
        axes = [book.join(ours, theirs) for ours, theirs in zip(axes, other, strict=True)]
    axes.insert(site.operation.axis % rank, POSITION)
    return [tuple(axes)]


def swapaxes(site: Site, book: Book) -> list[Axes]:
    """Two axes change places."""
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
