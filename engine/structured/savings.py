"""The costs of a model without some of its channels, computed without building it, and the savings of each group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Mask
from engine.models.costs import Work, works_of
from engine.structured.groups import Channels, Group
from secateur.reports.summaries import ChannelGroup

Sizes = Callable[[Any, int], int]
"""From a variable and one of its axes to the number of indices that are kept."""


@dataclass(frozen=True)
class Costs:
    """Parameters and multiply-accumulates of a model as functions of the kept channels."""

    channels: Channels
    works: tuple[Work, ...]

    @classmethod
    def of(cls, channels: Channels) -> "Costs":
        """Collect the products of a model's graph once."""
        return cls(channels, works_of(channels.trace.graph))

    def sizes(self, kept: Mask) -> Sizes:
        """Return the size of each axis with these channels."""
        dims = self.channels.trace.coupling.dims
        known: dict[tuple[int, int], int] = {}

        def size(variable: Any, axis: int) -> int:
            if (key := (id(variable), axis)) not in known:
                dim = dims.get(key)
                whole = int(variable.shape[axis])
                known[key] = whole if dim is None else int(np.count_nonzero(kept[self.channels.along(dim)]))
            return known[key]

        return size

    def params(self, kept: Mask) -> int:
        """Count the parameters, including those that are not trainable."""
        size = self.sizes(kept)
        weights = {id(weight): weight for weight in self.channels.trace.model.weights}.values()
        return sum(_product(size(weight, axis) for axis in range(len(weight.shape))) for weight in weights)

    def macs(self, kept: Mask) -> int:
        """Count the multiply-accumulates of one sample."""
        size = self.sizes(kept)
        return round(sum(work.times * _product(size(*each) for each in work.sizes) for work in self.works))


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def group_infos(costs: Costs) -> tuple[ChannelGroup, ...]:
    """Describe each group for reports and summaries."""
    saved = _saved_alone(costs, [int(group.channels[0]) for group in costs.channels.groups])
    return tuple(_info(group, costs, *each) for group, each in zip(costs.channels.groups, saved, strict=True))


def _saved_alone(costs: Costs, channels: Sequence[int]) -> list[tuple[int, int]]:
    """Return the parameters and multiply-accumulates that the removal of each of these channels alone saves.

    Equal to differences of ``Costs`` of the whole model, but computed only on the variables that hold the channel.
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
    """Return by how much the product of some axes shrinks."""
    whole = [int(variable.shape[axis]) for variable, axis in sizes]
    less = [gone.get((id(variable), axis), 0) for variable, axis in sizes]
    return _product(whole) - _product(size - each for size, each in zip(whole, less, strict=True))


def _indices(channels: Channels, chosen: Sequence[int]) -> list[dict[tuple[int, int], int]]:
    """Return for each chosen channel the number of its indices on each axis that holds it, by variable and axis."""
    place = np.full(channels.num_channels, -1)
    place[chosen] = np.arange(len(chosen))
    found: list[dict[tuple[int, int], int]] = [{} for _ in chosen]
    for key, dim in channels.trace.coupling.dims.items():
        along = place[channels.along(dim)]
        for number, count in zip(*np.unique(along[along >= 0], return_counts=True), strict=True):
            found[number][key] = int(count)
    return found


def _info(group: Group, costs: Costs, params: int, macs: int) -> ChannelGroup:
    return ChannelGroup(
        name=group.name,
        layers=group.layers,
        readers=group.consumers,
        num_channels=len(group.channels),
        unit=group.unit,
        params_per_channel=params,
        macs_per_channel=macs,
        tags=group.tags,
        frozen=group.frozen,
        scaled=bool(costs.channels.scales(group)),
    )
