"""After channels went: the layers that read them are solved again, or get the mean of what they miss as a bias."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk, graph_of
from engine.models.prunable import places
from engine.pruning.masking import Masks
from engine.reconstruction import rows
from engine.reconstruction.equations import Samples
from engine.reconstruction.fold import add_to_units, shifts
from engine.reconstruction.reconstruct import reconstruct
from engine.reconstruction.targets import Narrowed, Target, norm_behind, why_not
from engine.structured.groups import Channels


def solve_readers(
    channels: Channels, kept: Mask, small: Any, masks: Masks, samples: Samples, on_progress: Callable[[float], None]
) -> list[str]:
    """Solve the layers of the smaller model that read what went, and what comes behind them, towards the whole model.

    Args:
        channels: of the model before the cut.
        kept: the channels that ``small`` was made with.
        masks: of ``small``; zeros stay zero.

    Returns:
        What to tell of it.
    """
    readers = _readers(channels, kept)
    narrowed = Narrowed(readers, _units(channels, kept))
    dense = channels.trace.model
    solved = reconstruct(small, dense, masks, {}, samples, narrowed=narrowed, on_progress=on_progress)
    graph = graph_of(small)
    layers = {place.name: place.layer for place in places(small)}
    reasons = [(name, why_not(layers[name], graph)) for name in readers]
    return [
        f"Solved again on {samples.count:,} unlabelled inputs: {', '.join(solved) or 'no layer'}.",
        *(f"Only narrowed, not solved again: {name}, because {reason}." for name, reason in reasons if reason),
    ]


def mean_shifts(channels: Channels, kept: Mask, samples: Samples) -> dict[str, Array]:
    """What the layers that read channels which go get from them on average, for each of their units.

    Layers that have no place for a bias are left out.
    """
    graph, wanted = channels.trace.graph, dict[str, tuple[Target, Mask]]()
    readers = _readers(channels, kept)
    called = [name for name, layer in readers.items() if graph.calls_of(layer)]
    for name in sorted(called, key=lambda name: min(graph.calls_of(readers[name]))):
        layer = readers[name]
        if rows.not_a_product(layer) is None:
            target = Target(name, layer, layer, norm_behind(layer, graph))
            if target.has_bias_row:
                wanted[name] = target, rows.grouped(layer, _flags(channels, kept, layer, reads=True))[:, :, 0]
    return shifts(Walk(channels.trace.model, samples.batches, samples.count), wanted, samples)


def fold(found: Mapping[str, Array], channels: Channels, kept: Mask, small: Any) -> list[str]:
    """Add to the layers of the smaller model what they miss. Returns what to tell of it."""
    units, graph = _units(channels, kept), graph_of(small)
    layers = {place.name: place.layer for place in reversed(list(places(small)))}
    for name, shift in found.items():
        layer = layers[name]
        add_to_units(Target(name, layer, layer, norm_behind(layer, graph)), shift[units.get(name, slice(None))])
    rest = [name for name in _readers(channels, kept) if name not in found]
    return [
        f"The mean of what went was added to the biases of {', '.join(found) or 'no layer'}.",
        *([f"No place for it: {', '.join(rest)}."] if rest else []),
    ]


def _readers(channels: Channels, kept: Mask) -> dict[str, Any]:
    """Layers that lose inputs, by name."""
    dims = [dim for dim in channels.dims if dim.role == "reads" and not kept[channels.along(dim)].all()]
    return {channels.names[id(dim.layer)]: dim.layer for dim in dims}


def _units(channels: Channels, kept: Mask) -> dict[str, Array]:
    """Of layers that lose units, those that stay, counted over all groups."""
    found = {}
    for layer in {id(dim.layer): dim.layer for dim in channels.dims}.values():
        if rows.not_a_product(layer) is None:
            flags = _flags(channels, kept, layer, reads=False)
            if not flags.all():
                found[channels.names[id(layer)]] = np.flatnonzero(rows.side_by_side(rows.grouped(layer, flags))[0])
    return found


def _flags(channels: Channels, kept: Mask, layer: Any, *, reads: bool) -> Mask:
    """For each weight of a kernel whether its input stays, or else whether its unit does."""
    variable = rows.weights_of(layer)
    flags = np.ones(tuple(variable.shape), np.bool_)
    for axis in range(flags.ndim):
        dim = channels.trace.book.dims.get((id(variable), axis))
        if dim is not None and (dim.role == "reads") == reads:
            shape = [1] * flags.ndim
            shape[axis] = -1
            flags &= kept[channels.along(dim)].reshape(shape)
    return flags
