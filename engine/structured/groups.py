"""Channels, which are removed as one, and coupling groups, whose channels are ranked together.

A channel is everything that is joined with one label: a filter, its bias, its BatchNorm, the rows of every kernel that
consumes it. A coupling group is all channels that the same layers produce.
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
    """A coupling group: the channels that the same layers produce."""

    name: str
    """The name of its first layer, followed by the unit and a number where that layer produces several groups."""
    layers: tuple[str, ...]
    consumers: tuple[str, ...]
    """Layers that lose inputs when a channel is removed."""
    channels: Array
    """The numbers of its channels."""
    unit: str
    tags: tuple[GroupTag, ...]
    frozen: tuple[str, ...]
    """The reasons why it cannot be pruned; empty when it can."""
    parts: tuple[Array, ...] = ()
    """The channels of each of its layers. No layer may become empty, so each part keeps at least one channel."""


@dataclass(frozen=True)
class Channels:
    """All channels of a model."""

    trace: Trace
    of_label: Array
    """The number of the channel of each label."""
    names: dict[int, str]
    """Names of layers, by the ids of the layers."""
    groups: tuple[Group, ...]

    @property
    def num_channels(self) -> int:
        return int(self.of_label.max(initial=-1)) + 1

    @property
    def dims(self) -> list[Dim]:
        """Every axis of every variable that the rules know."""
        return list(self.trace.coupling.dims.values())

    def along(self, dim: Dim) -> Array:
        """Return the channel of each index of an axis."""
        return self.of_label[dim.labels]

    def all_kept(self) -> Mask:
        """Return a mask that keeps every channel, shape (num_channels,)."""
        return np.ones(self.num_channels, np.bool_)

    def members(self, group: Group, *roles: Role) -> list[Dim]:
        """Return the axes that hold channels of a group and have one of these roles."""
        inside = _labels_of(group.channels, self.of_label)
        return [dim for dim in self.dims if dim.role in roles and inside[dim.labels].any()]

    def scales(self, group: Group) -> list[Dim]:
        """Return the axes of the normalisation scales that the channels of a group pass."""
        along = self.members(group, "along")
        return [dim for dim in along if dim.variable is getattr(dim.layer, "gamma", None)]

    def group(self, name: str) -> Group | None:
        """Return the group of a name, else the first group that a layer of that name produces."""
        named = (group for group in self.groups if group.name == name)
        return next(named, next((group for group in self.groups if name in group.layers), None))


def channels_of(model: Any) -> Channels:
    """Find all channels of a model and their coupling groups."""
    traced = trace(model)
    of_label = traced.coupling.channels()
    names = names_of(model)
    return Channels(traced, of_label, names, tuple(_groups(traced, of_label, names)))


def names_of(model: Any) -> dict[int, str]:
    """Return the names of a model's layers by their ids; a layer in several places has the name of the first."""
    return {id(place.layer): place.name for place in reversed(list(places(model)))}


def _groups(traced: Trace, of_label: Array, names: dict[int, str]) -> list[Group]:
    """Return the groups in the order of their first layers in the graph."""
    producers = [dim for dim in traced.coupling.dims.values() if dim.role == "produces"]
    component = _components([of_label[dim.labels] for dim in producers], int(of_label.max(initial=-1)) + 1)
    by_component: dict[int, list[Dim]] = {}
    for dim in producers:
        by_component.setdefault(int(component[of_label[dim.labels[0]]]), []).append(dim)
    return _with_unique_names([_group(traced, of_label, names, dims) for dims in by_component.values()])


def _with_unique_names(groups: list[Group]) -> list[Group]:
    """Give each group its own name. An attention layer produces heads and channels, which reports must not confuse."""
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
    """Return for each channel the smallest channel that it is connected to through the sets."""
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
    consumers = dict.fromkeys(
        names[id(dim.layer)]
        for dim in traced.coupling.dims.values()
        if dim.role == "consumes" and inside[dim.labels].any()
    )
    tags = dict.fromkeys(tag for labels, tag in traced.coupling.tags if inside[labels].any())
    reasons = dict.fromkeys(reason for labels, reason in traced.coupling.frozen if inside[labels].any())
    why = (OUTPUT,) if OUTPUT in reasons else tuple(reasons)
    return Group(layers[0], layers, tuple(consumers), channels, dims[0].unit, tuple(tags), why, _parts(of_label, dims))


def _labels_of(channels: Array, of_label: Array) -> Mask:
    """Mark the labels of these channels. Computed once, because a search in every axis takes seconds."""
    members = np.zeros(int(of_label.max(initial=-1)) + 1, np.bool_)
    members[channels] = True
    return members[of_label]


def _parts(of_label: Array, dims: list[Dim]) -> tuple[Array, ...]:
    """Return the channels of each producing axis, without duplicate sets."""
    sets = {tuple(np.unique(of_label[dim.labels])): None for dim in dims}
    return tuple(np.array(each) for each in sets)
