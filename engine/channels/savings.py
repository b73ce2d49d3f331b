"""What a model costs with some of its channels gone, told without building it, and what each group would save."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Mask
from engine.channels.groups import Channels, Group
from engine.costs import Work, works_of
from jobspec.summaries import ChannelGroup

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
    whole = costs.channels.all_kept()
    params, macs = costs.params(whole), costs.macs(whole)
    return tuple(_info(group, costs, whole, params, macs) for group in costs.channels.groups)


def _info(group: Group, costs: Costs, whole: Mask, params: int, macs: int) -> ChannelGroup:
    without = whole.copy()
    without[group.channels[0]] = False
    return ChannelGroup(
        name=group.name,
        layers=group.layers,
        readers=group.readers,
        num_channels=len(group.channels),
        unit=group.unit,
        params_per_channel=params - costs.params(without),
        macs_per_channel=macs - costs.macs(without),
        tags=group.tags,
        frozen=group.frozen,
        scaled=bool(costs.channels.scales(group)),
    )
