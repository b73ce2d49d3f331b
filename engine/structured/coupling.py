"""Labels: every index of an axis has one, and indices that must go together have joined ones.

Rules (``engine.structured.trace``) look at one call at a time and write into a ``Book`` which axes are the same; nobody
follows paths through the network. What is joined in the end is one channel, however many layers it runs through.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.arrays import Array
from secateur.specs.channels import GroupTag

Labels = Array
"""One label an index of an axis, int64."""

Axis = Labels | str
"""An axis of a tensor: labels, or why nobody may cut along it."""

Path = tuple[str | int, ...]
"""Keys and places that lead to an entry of a config."""

Axes = tuple[Axis, ...]
"""All axes of a tensor; that of the samples is the first."""

Role = Literal["makes", "reads", "along"]
"""What a layer does along an axis of a variable: makes its channels, sums over them, or treats each by itself."""

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
    labels: Labels
    unit: str = "channels"
    """What users call its indices."""


@dataclass(frozen=True)
class Resize:
    """An entry of an operation's config that is the number of indices of an axis."""

    operation: Any
    path: Path
    labels: Labels


class Book:
    """What the rules have found out so far."""

    def __init__(self) -> None:
        self.dims: dict[tuple[int, int], Dim] = {}
        self.resizes: dict[tuple[int, Path], Resize] = {}
        self.frozen: list[tuple[Labels, str]] = []
        self.tags: list[tuple[Labels, GroupTag]] = []
        self._count = 0
        self._joins: list[tuple[Labels, Labels]] = []
        self._fixed: dict[tuple[int, Path], str] = {}
        self._hosts: dict[int, tuple[Any, Path]] = {}

    def fresh(self, size: int) -> Labels:
        """Labels that nothing else has yet."""
        self._count += size
        return np.arange(self._count - size, self._count)

    def dim(self, layer: Any, variable: Any, axis: int, role: Role = "along", unit: str = "channels") -> Labels:
        """The labels of an axis of a variable; a layer that is called again has those of before."""
        axis %= len(variable.shape)
        if (key := (id(variable), axis)) not in self.dims:
            shown, _ = self._hosts.get(id(layer), (layer, ()))
            self.dims[key] = Dim(shown, variable, axis, role, self.fresh(variable.shape[axis]), unit)
        return self.dims[key].labels

    def join(self, left: Axis, right: Axis) -> Axis:
        """Both axes are the same: what goes in one goes in the other."""
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
        """Nobody may cut along this axis."""
        if not isinstance(axis, str):
            self.frozen.append((axis, reason))

    def tag(self, axis: Axis, tag: GroupTag) -> None:
        """Something that users want to know, or spare."""
        if not isinstance(axis, str):
            self.tags.append((axis, tag))

    def resize(self, operation: Any, path: Path, axis: Axis) -> None:
        """A number in an operation's config is the size of this axis, at every call of the operation."""
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
        """While rules look at a layer in a wrapper, the wrapper goes by its name and holds its config at ``path``."""
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
        """For each label the channel that it belongs to: 0, 1, 2 ... in the order of their first labels."""
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


def _concatenated(parts: Iterable[Labels]) -> Labels:
    return np.concatenate([np.ravel(part) for part in parts])
