"""Channel scores by optimal brain surgeon (OBS), from the normal equations of the layers that consume the channels.

A layer computes ``a w`` from its inputs ``a``. Without the inputs S, and with all other weights reconstructed, its
output changes by tr(w_S' (G^-1)_SS^-1 w_S), G = a'a: the loss that remains after the best reconstruction. The cost of
a channel is the sum over all its consumers, each relative to the energy of its output. Channels are removed in stages,
and the remaining weights are reconstructed after each. No labels are needed.

Hassibi & Stork 1993, "Second order derivatives for network pruning: Optimal Brain Surgeon"; for whole channels
He et al. 2017 (arXiv:1707.06168) and Frantar & Alistarh 2022, "Optimal Brain Compression" (arXiv:2208.11580).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk
from engine.models.prunable import places
from engine.reconstruction import rows
from engine.reconstruction.equations import Samples, equations_of, grouped_kernel
from engine.reconstruction.solve import NormalEquations
from engine.reconstruction.targets import Target, norm_behind, reason_not_reconstructable
from engine.structured.groups import Channels, Group

KEEPS: Final = 0.85
"""Share of a group's channels that each stage keeps."""

APART: Final = 1e-9
"""Relative increase of each score over the score before it, so that there are no ties."""


@dataclass(frozen=True)
class Consumer:
    """A layer that consumes channels, as normal equations of its current outputs."""

    name: str
    equations: NormalEquations
    weights: Array
    """Its kernel, (groups, n, units), with a row for the bias when the equations have one."""
    channels: Array
    """The channel of each input, (groups, n); -1 for the bias."""

    @property
    def energy(self) -> float:
        """The sum of squares of all it gives, about its mean where a bias could make up for that."""
        whole = float(np.einsum("gnu,gnu->", self.weights, self.equations.cross))
        if not self.equations.has_bias:
            return whole
        sums, counts = self.equations.cross[:, -1], self.equations.gram[:, -1, -1:]
        return max(whole - float((np.square(sums) / counts).sum()), 1e-6 * whole)  # of constants, rounding is left


def consumers_of(
    channels: Channels, groups: Sequence[Group], samples: Samples, on_progress: Callable[[float], None]
) -> list[Consumer]:
    """The layers that read these groups and can be solved, in the order of the graph."""
    model, graph = channels.trace.model, channels.trace.graph
    wanted = {consumer for group in groups for consumer in group.consumers}
    layers = {place.name: place.layer for place in reversed(list(places(model))) if place.name in wanted}
    solvable = {name: layer for name, layer in layers.items() if reason_not_reconstructable(layer, graph) is None}
    ordered = sorted(solvable, key=lambda name: min(graph.calls_of(solvable[name])))
    walk = Walk(model, samples.batches, samples.count)
    found = []
    for done, name in enumerate(ordered, start=1):
        target = Target(name, solvable[name], solvable[name], norm_behind(solvable[name], graph))
        found.append(_consumer(channels, target, equations_of(target, walk, walk, samples)))
        on_progress(done / len(ordered))
    return found


def _consumer(channels: Channels, target: Target, equations: NormalEquations) -> Consumer:
    bias = int(target.has_bias_row)
    weights = np.pad(grouped_kernel(target.layer), ((0, 0), (0, bias), (0, 0)))
    columns = np.pad(_input_channels(channels, target.layer), ((0, 0), (0, bias)), constant_values=-1)
    return Consumer(target.name, equations, weights.astype(np.float64), columns)


def _input_channels(channels: Channels, layer: Any) -> Array:
    """The channel of each input of a layer's units, shape (groups, n)."""
    variable = rows.weights_of(layer)
    shape = tuple(variable.shape)
    numbers = np.full(shape, -1)
    for dim in channels.dims:
        if dim.variable is variable and dim.role == "consumes":
            along = [1] * len(shape)
            along[dim.axis] = -1
            numbers = np.broadcast_to(channels.along(dim).reshape(along), shape)
    return rows.grouped(layer, np.ascontiguousarray(numbers))[:, :, 0]


def wanda(consumers: Sequence[Consumer], num_channels: int) -> Array:
    """Score channels by the weights that consume them times the norm of the channel, summed over all consumers.

    Sun et al. 2023 (arXiv:2306.11695), summed over a channel and relative to each consumer's mean.
    """
    total = np.zeros(num_channels)
    for consumer in consumers:
        norms = np.sqrt(np.maximum(np.diagonal(consumer.equations.gram, axis1=1, axis2=2), 0.0))
        read = consumer.channels >= 0
        costs = (np.abs(consumer.weights).sum(axis=2) * norms)[read]
        total += np.bincount(consumer.channels[read], costs / (costs.mean() or 1.0), minlength=num_channels)
    return total


def obs(consumers: Sequence[Consumer], groups: Sequence[Group], num_channels: int, *, ceiling: float) -> Array:
    """Score each channel by its cost at the stage that removes it, relative to the outputs of its consumers.

    Args:
        consumers: of the channels.
        groups: whose channels are scored.
        num_channels: of the model.
        ceiling: the largest share of a group that may be removed; channels beyond it are not ordered.

    Returns:
        One score for each channel. Scores rise with the stages, so ranking by them gives the order of removal.
    """
    kept, scores = np.ones(num_channels, np.bool_), np.zeros(num_channels)
    pulled = [
        (consumer, consumer.equations.towards(consumer.weights).single(), consumer.energy) for consumer in consumers
    ]
    left = 1.0
    while left > 1.0 - ceiling:
        left *= KEEPS
        costs = np.zeros(num_channels)
        for consumer, equations, energy in pulled:
            _add_costs(costs, consumer, equations, energy, kept)
        for group in groups:
            _remove_cheapest(group.channels, kept, scores, costs, left)
    for group in groups:
        last = group.channels[kept[group.channels]]
        scores[last] = scores[group.channels].max() + costs[last]
    return scores


def _remove_cheapest(channels: Array, kept: Mask, scores: Array, costs: Array, left: float) -> None:
    """Remove the cheapest channels of a group and set their scores; at least one channel is kept."""
    there = channels[kept[channels]]
    num_going = len(there) - max(1, round(left * len(channels)))
    if num_going > 0:
        going = there[np.argsort(costs[there], kind="stable")[:num_going]]
        rising = np.maximum.accumulate(np.maximum(costs[going], scores[channels].max()))
        scores[going] = rising * (1 + APART * np.arange(1, num_going + 1))
        kept[going] = False


def _add_costs(costs: Array, consumer: Consumer, equations: NormalEquations, energy: float, kept: Mask) -> None:
    """Add the cost of each remaining channel for one consumer, given the channels that are already removed."""
    scale = _scale(consumer.equations) / (energy or 1.0)
    for number in range(len(consumer.weights)):
        columns = consumer.channels[number]
        there = np.flatnonzero((columns < 0) | kept[columns])
        gram = equations.gram[number][np.ix_(there, there)]
        inverse = np.linalg.inv(gram)
        weights = inverse @ equations.cross[number][there]
        for channel, block in _blocks(columns[there]):
            inner = inverse[block[:, :, None], block[:, None, :]]
            read = weights[block]
            lost = np.einsum("cku,cku->c", read, np.linalg.solve(inner, read))
            np.add.at(costs, channel, scale[number] * lost)


def _scale(equations: NormalEquations) -> Array:
    """Return the divisor that ``towards`` applies."""
    trace = np.trace(equations.gram, axis1=1, axis2=2) / equations.gram.shape[-1]
    return np.where(trace > 0, trace, 1.0)


def _blocks(columns: Array) -> Iterator[tuple[Array, Array]]:
    """Yield channels with the same number of inputs, and the places of the inputs, (channels, inputs of each).

    >>> [(channels.tolist(), places.tolist()) for channels, places in _blocks(np.array([4, 7, 4, 7, -1]))]
    [([4, 7], [[0, 2], [1, 3]])]
    """
    order = np.argsort(columns, kind="stable")
    order = order[columns[order] >= 0]
    found, starts, counts = np.unique(columns[order], return_index=True, return_counts=True)
    for count in np.unique(counts):
        same = counts == count
        yield found[same], order[starts[same][:, None] + np.arange(count)]
