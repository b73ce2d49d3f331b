"""What a model costs with some of its channels gone, told without building it, and what each group would save."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Mask
from engine.models.costs import Work, works_of
from engine.structured.groups import Channels, Group
from secateur.reports.summaries import ChannelGroup

Sizes = Callable[[Any, int], int]
"""From a variable and one of its axes to how many indices of it stay."""


@dataclass(frozen=True)
class Costs:
    """Parameters and multiply-accumulates of a model as functions of the channels that stay."""

    channels: Channels
    works: tuple[Work, ...]

    @classmethod
    def of(cls, channels: Channels) -> "Costs":
        """Look at every variable and every product once."""
        return cls(channels, works_of(channels.trace.graph))

    def sizes(self, kept: Mask) -> Sizes:
        """How long each axis is with these channels."""
        dims = self.channels.trace.book.dims
        known: dict[tuple[int, int], int] = {}

        def size(variable: Any, axis: int) -> int:
            if (key := (id(variable), axis)) not in known:
                dim = dims.get(key)
                whole = int(variable.shape[axis])
                known[key] = whole if dim is None else int(np.count_nonzero(kept[self.channels.along(dim)]))
            return known[key]

        return size

    def params(self, kept: Mask) -> int:
        """Parameters, those that no training changes too."""
        size = self.sizes(kept)
        weights = {id(weight): weight for weight in self.channels.trace.model.weights}.values()
        return sum(_product(size(weight, axis) for axis in range(len(weight.shape))) for weight in weights)

    def macs(self, kept: Mask) -> int:
        """Multiply-accumulates of one sample."""
        size = self.sizes(kept)
        return round(sum(work.times * _product(size(*each) for each in work.sizes) for work in self.works))


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def group_infos(costs: Costs) -> tuple[ChannelGroup, ...]:
    """What users see of each group."""
    saved = _saved_alone(costs, [int(group.channels[0]) for group in costs.channels.groups])
    return tuple(_info(group, costs, *each) for group, each in zip(costs.channels.groups, saved, strict=True))


def _saved_alone(costs: Costs, channels: Sequence[int]) -> list[tuple[int, int]]:
    """Parameters and multiply-accumulates that each of these channels takes with it when it goes alone.

    The same as differences of ``Costs`` of the whole model, but only what holds the channel is looked at.
    """
    weights = {id(weight): weight for weight in costs.channels.trace.model.weights}
    works: dict[int, dict[int, Work]] = {}
    for work in costs.works:
        for variable, _ in work.sizes:
            works.setdefault(id(variable), {})[id(work)] = work
    found = []
    for gone in _indices(costs.channels, channels):
        touched = {variable for variable, _ in gone}
        held = [weights[each] for each in touched & weights.keys()]
        products = {number: work for each in touched for number, work in works.get(each, {}).items()}
        params = sum(_lost([(weight, axis) for axis in range(len(weight.shape))], gone) for weight in held)
        found.append((params, round(sum(work.times * _lost(work.sizes, gone) for work in products.values()))))
    return found


def _lost(sizes: Sequence[tuple[Any, int]], gone: Mapping[tuple[int, int], int]) -> int:
    """How much smaller the product of some axes becomes."""
    whole = [int(variable.shape[axis]) for variable, axis in sizes]
    less = [gone.get((id(variable), axis), 0) for variable, axis in sizes]
    return _product(whole) - _product(size - each for size, each in zip(whole, less, strict=True))


def _indices(channels: Channels, chosen: Sequence[int]) -> list[dict[tuple[int, int], int]]:
    """For each chosen channel the axes that hold it, by variable and axis, and how many of their indices it has."""
    place = np.full(channels.num_channels, -1)
    place[chosen] = np.arange(len(chosen))
    found: list[dict[tuple[int, int], int]] = [{} for _ in chosen]
    for key, dim in channels.trace.book.dims.items():
        along = place[channels.along(dim)]
        for number, count in zip(*np.unique(along[along >= 0], return_counts=True), strict=True):
            found[number][key] = int(count)
    return found


def _info(group: Group, costs: Costs, params: int, macs: int) -> ChannelGroup:
    return ChannelGroup(
        name=group.name,
        layers=group.layers,
        readers=group.readers,
        num_channels=len(group.channels),
        unit=group.unit,
        params_per_channel=params,
        macs_per_channel=macs,
        tags=group.tags,
        frozen=group.frozen,
        scaled=bool(costs.channels.scales(group)),
    )
