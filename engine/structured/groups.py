"""Channels and groups: what goes together as one, and what is ranked together.

A channel is everything that one label is joined with: a filter, its bias, its BatchNorm, the rows of every kernel that
reads it. A group is all channels that the same layers make.
"""

from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

import numpy as np

from engine.arrays import Array, Mask
from engine.models.prunable import places
from engine.structured.coupling import OUTPUT, Dim, Role
from engine.structured.trace import Trace, trace
from secateur.specs.channels import GroupTag


@dataclass(frozen=True)
class Group:
    """Channels that the same layers make."""

    name: str
    """That of the first of its layers; with the unit, and a number if need be, where that makes several groups."""
    layers: tuple[str, ...]
    readers: tuple[str, ...]
    """Layers that lose inputs when a channel goes."""
    channels: Array
    """Numbers of its channels."""
    unit: str
    tags: tuple[GroupTag, ...]
    frozen: tuple[str, ...]
    """Why it cannot be cut; nothing when it can be."""
    parts: tuple[Array, ...] = ()
    """Channels of each of its layers. No layer can be empty: of each part at least one channel stays."""


@dataclass(frozen=True)
class Channels:
    """All channels of a model."""

    trace: Trace
    of_label: Array
    """From labels to the numbers of channels."""
    names: dict[int, str]
    """Of layers, by their ids."""
    groups: tuple[Group, ...]

    @property
    def num_channels(self) -> int:
        return int(self.of_label.max(initial=-1)) + 1

    @property
    def dims(self) -> list[Dim]:
        """Every axis of every variable that the rules know."""
        return list(self.trace.book.dims.values())

    def along(self, dim: Dim) -> Array:
        """The channel of each index of an axis."""
        return self.of_label[dim.labels]

    def all_kept(self) -> Mask:
        """Nothing goes: one entry a channel."""
        return np.ones(self.num_channels, np.bool_)

    def members(self, group: Group, *roles: Role) -> list[Dim]:
        """Axes that hold channels of a group, of layers in these roles."""
        inside = _labels_of(group.channels, self.of_label)
        return [dim for dim in self.dims if dim.role in roles and inside[dim.labels].any()]

    def scales(self, group: Group) -> list[Dim]:
        """The scales of normalisations that each channel of a group passes."""
        along = self.members(group, "along")
        return [dim for dim in along if dim.variable is getattr(dim.layer, "gamma", None)]

    def group(self, name: str) -> Group | None:
        """The group of that name, else the first that a layer of that name makes."""
        named = (group for group in self.groups if group.name == name)
        return next(named, next((group for group in self.groups if name in group.layers), None))


def channels_of(model: Any) -> Channels:
    """Find all channels of a model, and what couples them."""
    traced = trace(model)
    of_label = traced.book.channels()
    names = names_of(model)
    return Channels(traced, of_label, names, tuple(_groups(traced, of_label, names)))


def names_of(model: Any) -> dict[int, str]:
    """The names of a model's layers by their ids; a layer that stands in several places has that of the first."""
    return {id(place.layer): place.name for place in reversed(list(places(model)))}


def _groups(traced: Trace, of_label: Array, names: dict[int, str]) -> list[Group]:
    """The groups in the order of their first layers in the graph."""
    makers = [dim for dim in traced.book.dims.values() if dim.role == "makes"]
    component = _components([of_label[dim.labels] for dim in makers], int(of_label.max(initial=-1)) + 1)
    by_component: dict[int, list[Dim]] = {}
    for dim in makers:
        by_component.setdefault(int(component[of_label[dim.labels[0]]]), []).append(dim)
    return _told_apart([_group(traced, of_label, names, dims) for dims in by_component.values()])


def _told_apart(groups: list[Group]) -> list[Group]:
    """A layer of attention may make heads and channels; what became of both must not be taken for one another's."""
    found: dict[str, Group] = {}
    for group in groups:
        names = chain(
            (group.name, f"{group.name} ({group.unit})"),
            (f"{group.name} ({group.unit} {number})" for number in count(2)),
        )
        name = next(name for name in names if name not in found)
        found[name] = replace(group, name=name)
    return list(found.values())


def _components(sets: list[Array], num_channels: int) -> Array:
    """For each channel the smallest channel that it is connected with through sets."""
    component = np.arange(num_channels)
    changed = True
    while changed:
        changed = False
        for members in sets:
            low = component[members].min()
            changed = changed or bool((component[members] != low).any())
            component[members] = low
    return component


def _group(traced: Trace, of_label: Array, names: dict[int, str], dims: list[Dim]) -> Group:
    channels = np.unique(np.concatenate([of_label[dim.labels] for dim in dims]))
    inside = _labels_of(channels, of_label)
    layers = tuple(dict.fromkeys(names[id(dim.layer)] for dim in dims))
    readers = dict.fromkeys(
        names[id(dim.layer)] for dim in traced.book.dims.values() if dim.role == "reads" and inside[dim.labels].any()
    )
    tags = dict.fromkeys(tag for labels, tag in traced.book.tags if inside[labels].any())
    reasons = dict.fromkeys(why for labels, why in traced.book.frozen if inside[labels].any())
    why = (OUTPUT,) if OUTPUT in reasons else tuple(reasons)
    return Group(layers[0], layers, tuple(readers), channels, dims[0].unit, tuple(tags), why, _parts(of_label, dims))


def _labels_of(channels: Array, of_label: Array) -> Mask:
    """Which labels belong to these channels: asked once, since looking for members in every axis takes seconds."""
    members = np.zeros(int(of_label.max(initial=-1)) + 1, np.bool_)
    members[channels] = True
    return members[of_label]


def _parts(of_label: Array, dims: list[Dim]) -> tuple[Array, ...]:
    """The channels of each axis that makes some, each set once."""
    sets = {tuple(np.unique(of_label[dim.labels])): None for dim in dims}
    return tuple(np.array(each) for each in sets)
