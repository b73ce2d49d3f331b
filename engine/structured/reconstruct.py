"""After channels are removed: reconstruct the layers that consumed them, or add their mean output to biases."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.arrays import Array, Mask
from engine.models.graph import Walk, graph_of
from engine.models.prunable import places
from engine.pruning.masking import Masks
from engine.reconstruction import rows
from engine.reconstruction.bias_correction import add_to_units, corrections
from engine.reconstruction.equations import Samples
from engine.reconstruction.reconstruct import reconstruct
from engine.reconstruction.targets import RemovedChannels, Target, norm_behind, reason_not_reconstructable
from engine.structured.groups import Channels


def reconstruct_consumers(
    channels: Channels, kept: Mask, small: Any, masks: Masks, samples: Samples, on_progress: Callable[[float], None]
) -> list[str]:
    """Reconstruct the consumers of removed channels, and the layers behind them, towards the whole model.

    Args:
        channels: of the model before channels were removed.
        kept: the channels that ``small`` has, one entry a channel.
        small: the smaller model; its weights change.
        masks: of ``small``; zeros stay zero.
        samples: unlabelled inputs.
        on_progress: called with the share that is done.

    Returns:
        Notes for the report.
    """
    consumers = _consumers(channels, kept)
    removed = RemovedChannels(consumers, _units(channels, kept))
    dense = channels.trace.model
    solved = reconstruct(small, dense, masks, {}, samples, removed=removed, on_progress=on_progress)
    graph = graph_of(small)
    layers = {place.name: place.layer for place in places(small)}
    reasons = [(name, reason_not_reconstructable(layers[name], graph)) for name in consumers]
    done = ", ".join(solved) or "none"
    return [
        f"Weights reconstructed by least squares on {samples.count:,} unlabelled samples: {done}.",
        *(f"Pruned but not reconstructed: {name} ({reason})." for name, reason in reasons if reason),
    ]


def bias_corrections(channels: Channels, kept: Mask, samples: Samples) -> dict[str, Array]:
    """Compute the mean output that the consumers get from the channels to be removed, shape (units,) for each layer.

    Layers that have no place for a bias are left out.
    """
    graph, wanted = channels.trace.graph, dict[str, tuple[Target, Mask]]()
    consumers = _consumers(channels, kept)
    called = [name for name, layer in consumers.items() if graph.calls_of(layer)]
    for name in sorted(called, key=lambda name: min(graph.calls_of(consumers[name]))):
        layer = consumers[name]
        if rows.reason_not_a_matrix_product(layer) is None:
            target = Target(name, layer, layer, norm_behind(layer, graph))
            if target.has_bias_row:
                wanted[name] = target, rows.grouped(layer, _flags(channels, kept, layer, consumes=True))[:, :, 0]
    return corrections(Walk(channels.trace.model, samples.batches, samples.count), wanted, samples)


def add_bias_corrections(found: Mapping[str, Array], channels: Channels, kept: Mask, small: Any) -> list[str]:
    """Add the mean output of removed channels to the biases of the smaller model. Returns notes for the report."""
    units, graph = _units(channels, kept), graph_of(small)
    layers = {place.name: place.layer for place in reversed(list(places(small)))}
    for name, correction in found.items():
        layer = layers[name]
        add_to_units(Target(name, layer, layer, norm_behind(layer, graph)), correction[units.get(name, slice(None))])
    rest = [name for name in _consumers(channels, kept) if name not in found]
    return [
        f"The mean output of the removed channels was added to the biases of {', '.join(found) or 'no layer'}.",
        *([f"No bias to add the mean output to: {', '.join(rest)}."] if rest else []),
    ]


def _consumers(channels: Channels, kept: Mask) -> dict[str, Any]:
    """Return the layers that lose inputs, by name."""
    dims = [dim for dim in channels.dims if dim.role == "consumes" and not kept[channels.along(dim)].all()]
    return {channels.names[id(dim.layer)]: dim.layer for dim in dims}


def _units(channels: Channels, kept: Mask) -> dict[str, Array]:
    """Return the units that are kept, for layers that lose units; counted over all groups."""
    found = {}
    for layer in {id(dim.layer): dim.layer for dim in channels.dims}.values():
        if rows.reason_not_a_matrix_product(layer) is None:
            flags = _flags(channels, kept, layer, consumes=False)
            if not flags.all():
                found[channels.names[id(layer)]] = np.flatnonzero(rows.join_groups(rows.grouped(layer, flags))[0])
    return found


def _flags(channels: Channels, kept: Mask, layer: Any, *, consumes: bool) -> Mask:
    """Return for each weight of a kernel whether its input is kept (``consumes``) or whether its unit is kept."""
    variable = rows.weights_of(layer)
    flags = np.ones(tuple(variable.shape), np.bool_)
    for axis in range(flags.ndim):
        dim = channels.trace.coupling.dims.get((id(variable), axis))
        if dim is not None and (dim.role == "consumes") == consumes:
            shape = [1] * flags.ndim
            shape[axis] = -1
            flags &= kept[channels.along(dim)].reshape(shape)
    return flags
