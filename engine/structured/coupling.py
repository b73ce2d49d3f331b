"""Axis labels: every index of an axis has a label; the labels of indices that are removed together are joined.

A rule (``engine.structured.trace``) sees one call at a time and joins the labels that the call couples in a
``CouplingBuilder``. No code follows paths through the network. All joined labels together are one channel, however many
layers it runs through.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.arrays import Array
from secateur.specs.channels import GroupTag

AxisLabels = Array
"""One label for each index of an axis, int64."""

Axis = AxisLabels | str
"""An axis of a tensor: its labels, or the reason why no channel may be removed along it."""

Path = tuple[str | int, ...]
"""Keys and indices that lead to an entry of a config."""

Axes = tuple[Axis, ...]
"""All axes of a tensor; the first is the axis of samples."""

Role = Literal["produces", "consumes", "along"]
"""What a layer does along an axis of a variable: produces channels, sums over them, or treats each one alone."""

POSITION = "it is an axis of positions, not of channels"
INPUT = "its channels meet an axis of the model's input"
OUTPUT = "it makes an output of the model"


@dataclass(frozen=True)
class Dim:
    """An axis of a layer's variable, with a label for each of its indices."""

    layer: Any
    variable: Any
    axis: int
    role: Role
    labels: AxisLabels
    unit: str = "channels"
    """The word for its indices in reports."""


@dataclass(frozen=True)
class Resize:
    """An entry of an operation's config that holds the number of indices of an axis."""

    operation: Any
    path: Path
    labels: AxisLabels


class CouplingBuilder:
    """Collects what the rules find: labelled axes, joined labels, frozen labels, tags and config entries."""

    def __init__(self) -> None:
        self.dims: dict[tuple[int, int], Dim] = {}
        self.resizes: dict[tuple[int, Path], Resize] = {}
        self.frozen: list[tuple[AxisLabels, str]] = []
        self.tags: list[tuple[AxisLabels, GroupTag]] = []
        self._count = 0
        self._joins: list[tuple[AxisLabels, AxisLabels]] = []
        self._fixed: dict[tuple[int, Path], str] = {}
        self._hosts: dict[int, tuple[Any, Path]] = {}

    def fresh(self, size: int) -> AxisLabels:
        """Return labels that no other axis has."""
        self._count += size
        return np.arange(self._count - size, self._count)

    def dim(self, layer: Any, variable: Any, axis: int, role: Role = "along", unit: str = "channels") -> AxisLabels:
        """Return the labels of an axis of a variable; every call of a layer gets the same labels."""
        axis %= len(variable.shape)
        if (key := (id(variable), axis)) not in self.dims:
            shown, _ = self._hosts.get(id(layer), (layer, ()))
            self.dims[key] = Dim(shown, variable, axis, role, self.fresh(variable.shape[axis]), unit)
        return self.dims[key].labels

    def join(self, left: Axis, right: Axis) -> Axis:
        """Join two axes index by index, so that both lose the same indices. Returns the joined axis."""
        if isinstance(left, str) or isinstance(right, str):
            for axis, other in ((left, right), (right, left)):
                if isinstance(other, str):
                    self.freeze(axis, other)
            return left if isinstance(left, str) else right
        if left.size != right.size:
            self.freeze(left, f"axes of {left.size} and {right.size} meet")
            self.freeze(right, f"axes of {left.size} and {right.size} meet")
            return f"axes of {left.size} and {right.size} meet"
        self._joins.append((left, right))
        return left

    def freeze(self, axis: Axis, reason: str) -> None:
        """Forbid the removal of channels along an axis, and keep the reason."""
        if not isinstance(axis, str):
            self.frozen.append((axis, reason))

    def tag(self, axis: Axis, tag: GroupTag) -> None:
        """Tag an axis with a property that users see and can exclude from pruning."""
        if not isinstance(axis, str):
            self.tags.append((axis, tag))

    def resize(self, operation: Any, path: Path, axis: Axis) -> None:
        """Declare that an entry of an operation's config is the size of an axis, at every call of the operation."""
        operation, before = self._hosts.get(id(operation), (operation, ()))
        key = (id(operation), (*before, *path))
        if isinstance(axis, str):
            self._fixed.setdefault(key, axis)
        else:
            known = self.resizes.setdefault(key, Resize(operation, key[1], axis))
            self.join(known.labels, axis)
        if key in self._fixed and key in self.resizes:
            self.freeze(self.resizes[key].labels, self._fixed[key])

    @contextmanager
    def inside(self, wrapper: Any, layer: Any, path: Path) -> Iterator[None]:
        """While the block runs, attribute a layer's axes to its wrapper, whose config has the layer at ``path``."""
        host, before = self._hosts.get(id(wrapper), (wrapper, ()))
        known = self._hosts.get(id(layer))
        self._hosts[id(layer)] = (host, (*before, *path))
        try:
            yield
        finally:
            self._hosts.pop(id(layer))
            if known is not None:
                self._hosts[id(layer)] = known

    def channels(self) -> Array:
        """Return the channel of each label. Channels are numbered 0, 1, 2 ... in the order of their first labels."""
        roots = np.arange(self._count)
        left, right = (
            (_concatenated(side) for side in zip(*self._joins, strict=True)) if self._joins else (roots, roots)
        )
        while True:
            ours, theirs = roots[left], roots[right]
            if (ours == theirs).all():
                return np.unique(roots, return_inverse=True)[1].reshape(-1)
            low = np.minimum(ours, theirs)
            np.minimum.at(roots, ours, low)
            np.minimum.at(roots, theirs, low)
            while (roots != roots[roots]).any():
                roots = roots[roots]


def _concatenated(parts: Iterable[AxisLabels]) -> AxisLabels:
    return np.concatenate([np.ravel(part) for part in parts])
