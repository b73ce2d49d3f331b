"""Rules of operations that rearrange values: flatten, reshape, permute, concatenate, pad, pool."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.structured.coupling import POSITION, Axes, Axis, CouplingBuilder
from engine.structured.rules.site import Rule, Shape, Site, freeze_all, with_channels


def positions(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return new positions and the same channels: pooling, padding, cropping and up-sampling."""
    return with_channels(site, site.axes[site.channel_axis], coupling)


def global_pooling(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Return the channel axis: global pooling leaves one value for each channel."""
    channels = site.axes[site.channel_axis]
    made = with_channels(site, channels, coupling)
    return made if site.operation.keepdims else [(site.axes[0], channels)]


def flatten(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Merge all axes, channels innermost: channel c of C becomes features c, c + C, c + 2C ..."""
    axes, shape = list(site.axes), list(site.shape)
    if getattr(site.operation, "data_format", None) == "channels_first" and len(shape) > 2:
        axes, shape = [axes[0], *axes[2:], axes[1]], [shape[0], *shape[2:], shape[1]]
    return [(axes[0], _merged(site, axes[1:], shape[1:], coupling))]


def permute(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Permute axes. ``keras.layers.Permute`` counts them from 1 and keeps the axis of samples."""
    return [(site.axes[0], *(site.axes[axis] for axis in site.operation.dims))]


def transpose(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Permute axes as ``keras.ops.transpose`` does."""
    order = site.operation.axes or tuple(reversed(range(len(site.shape))))
    return [tuple(site.axes[axis] for axis in order)]


def concatenate(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Concatenate labels along one axis, and join the tensors along all others."""
    rank, along = len(site.shape), site.operation.axis % len(site.shape)
    return [
        tuple(
            _concatenated_axis(site, along, coupling) if axis == along else _same(site, axis, coupling)
            for axis in range(rank)
        )
    ]


def _concatenated_axis(site: Site, axis: int, coupling: CouplingBuilder) -> Axis:
    parts = [axes[axis] for axes in site.given]
    if site.constants:
        site.freeze(coupling, reason := f"{site.operation.name} joins its channels with arrays that no layer produces")
        return reason
    if all(isinstance(part, str) for part in parts):
        return parts[0]
    if any(shape[axis] is None for shape in site.shapes):
        for part in parts:
            coupling.freeze(part, f"{site.operation.name} joins axes of unknown size")
        return f"{site.operation.name} joins axes of unknown size"
    return np.concatenate(
        [
            _frozen(int(shape[axis] or 0), part, coupling) if isinstance(part, str) else part
            for part, shape in zip(parts, site.shapes, strict=True)
        ]
    )


def _frozen(size: int, reason: str, coupling: CouplingBuilder) -> Any:
    labels = coupling.fresh(size)
    coupling.freeze(labels, reason)
    return labels


def _same(site: Site, axis: int, coupling: CouplingBuilder) -> Axis:
    first = site.given[0][axis]
    for axes in site.given[1:]:
        met = coupling.join(first, axes[axis])
        first = met if isinstance(met, str) else first
    return first


def repeat_vector(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Insert an axis of positions: (samples, features) becomes (samples, times, features)."""
    return [(site.axes[0], POSITION, site.axes[1])]


def reshape(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Merge, split or keep axes: runs of old and new axes with equal products of sizes correspond."""
    old, new = site.shape, site.out_shapes[0]
    axes: list[Axis] = [site.axes[0]]
    if not _keeps_samples(site):
        site.freeze(coupling, reason := f"{site.operation.name} merges channels with samples")
        return [(reason,) * len(new)]
    for left, right in _blocks(old[1:], new[1:]):
        before = [site.axes[1 + place] for place in left]
        sizes = [old[1 + place] for place in left]
        axes += _reshaped(site, before, sizes, [new[1 + place] for place in right], coupling)
    for number, axis in enumerate(axes):
        path, entry = _target(site, number)
        if entry not in (None, -1):
            coupling.resize(site.operation, path, axis)
    return [tuple(axes)]


def _target(site: Site, number: int) -> tuple[tuple[str | int, ...], Any]:
    """Return the config path that holds the size of an output axis, and its value."""
    if number == 0:
        return (), None
    if hasattr(site.operation, "target_shape"):
        return ("target_shape", number - 1), site.operation.target_shape[number - 1]
    return ("newshape", number), site.operation.newshape[number]


def _reshaped(
    site: Site, before: Sequence[Axis], sizes: Sequence[Any], after: Sequence[Any], coupling: CouplingBuilder
) -> list[Axis]:
    """Return the new axes of a block of old axes."""
    if list(sizes) == list(after):
        return list(before)
    if len(after) == 1:
        return [_merged(site, before, sizes, coupling)]
    wide = [axis for axis, size in zip(before, sizes, strict=True) if size != 1]
    if [size for size in after if size != 1] == [size for size in sizes if size != 1]:  # size one added or dropped
        rest = iter(wide)
        return [POSITION if size == 1 else next(rest) for size in after]
    reason = f"{site.operation.name} splits its channels among axes"
    if len(wide) == 1 and not isinstance(wide[0], str) and None not in after:
        return _split(wide[0], after, coupling)
    freeze_all(coupling, tuple(before), reason)
    return [reason] * len(after)


def _split(axis: Any, after: Sequence[int], coupling: CouplingBuilder) -> list[Axis]:
    """Split one axis into several: channels at the same place of the innermost new axis are joined."""
    rows = axis.reshape(-1, after[-1])
    for row in rows[1:]:
        coupling.join(rows[0], row)
    return [POSITION] * (len(after) - 1) + [rows[0]]


def _keeps_samples(site: Site) -> bool:
    """Whether a reshape keeps the axis of samples: ``keras.ops.reshape`` may merge it with others."""
    old, new = site.shape[1:], site.out_shapes[0][1:]
    if hasattr(site.operation, "target_shape"):
        return True
    return None not in old and None not in new and _product(old, range(len(old))) == _product(new, range(len(new)))


def _merged(site: Site, axes: Sequence[Axis], sizes: Sequence[int | None], coupling: CouplingBuilder) -> Axis:
    """Merge several axes into one; each label is repeated at every place of its channel."""
    labelled = [place for place, axis in enumerate(axes) if not isinstance(axis, str)]
    if not labelled:
        return axes[-1] if axes else POSITION
    if len(axes) == 1:
        return axes[0]
    if len(labelled) > 1 or None in sizes:
        what = "axes of unknown size" if None in sizes else "two axes of channels"
        freeze_all(coupling, tuple(axes), reason := f"{site.operation.name} merges {what}")
        return reason
    (place,) = labelled
    shape = [1] * len(axes)
    shape[place] = -1
    return np.broadcast_to(np.reshape(axes[place], shape), [int(size or 1) for size in sizes]).reshape(-1)


def _blocks(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Return runs of old and new axes whose sizes have equal products; an unknown size is only equal to itself.

    >>> _blocks((4, 4, 8), (16, 8)), _blocks((7, 12), (7, 3, 4))
    ([([0, 1], [0]), ([2], [1])], [([0], [0]), ([1], [1, 2])])
    """
    if None in old or None in new:
        if tuple(old) == tuple(new):
            return [([place], [place]) for place in range(len(old))]
        if old and new and old[-1] == new[-1] is not None:  # the innermost axis is the same whatever is before it
            return [*_blocks(old[:-1], new[:-1]), ([len(old) - 1], [len(new) - 1])]
        return [(list(range(len(old))), list(range(len(new))))]
    blocks: list[tuple[list[int], list[int]]] = []
    left = right = 0
    while left < len(old) or right < len(new):
        ours, theirs = [left] if left < len(old) else [], [right] if right < len(new) else []
        left, right = left + len(ours), right + len(theirs)
        while (a := _product(old, ours)) != (b := _product(new, theirs)):
            if a < b:
                ours.append(left)
                left += 1
            else:
                theirs.append(right)
                right += 1
        blocks.append((ours, theirs))
    return blocks


def _product(sizes: Shape, places: Sequence[int]) -> int:
    return int(np.prod([sizes[place] or 0 for place in places], dtype=np.int64))


POOLS: Final = tuple(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3))

RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(POOLS, positions),
    **dict.fromkeys(
        [f"{kind}{rank}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for rank in (1, 2, 3)], positions
    ),
    **dict.fromkeys([f"Global{name}" for name in POOLS], global_pooling),
    **dict.fromkeys([f"Adaptive{name}" for name in POOLS if name.startswith(("Max", "Average"))], positions),
    "Flatten": flatten,
    "Permute": permute,
    "Transpose": transpose,
    "Concatenate": concatenate,
    "RepeatVector": repeat_vector,
    "Reshape": reshape,
}
