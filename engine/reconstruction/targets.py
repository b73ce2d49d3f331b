"""The layers that are reconstructed, their order, and the reasons why others are not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from engine.arrays import Array
from engine.models import prunable
from engine.models.following_batchnorm import batchnorm_behind, is_per_unit
from engine.models.graph import Graph, graph_of
from engine.models.prunable import places
from engine.reconstruction import rows

MAX_NUMBERS = 6_000**2
"""Largest number of entries in a layer's normal equations: the square of a unit's inputs, times the groups."""

LINEAR = (None, keras.activations.linear)


@dataclass(frozen=True)
class Target:
    """A layer to reconstruct, its twin in the dense network, and the normalisation behind it that holds its bias."""

    name: str
    layer: Any
    twin: Any
    norm: Any | None
    units: Array | None = None
    """The units of the twin that the layer still has, counted over all groups; None: all."""

    @property
    def has_bias_row(self) -> bool:
        """Whether a bias is solved with the weights."""
        return self.norm is not None or rows.has_bias_per_unit(self.layer)


@dataclass(frozen=True)
class RemovedChannels:
    """The inputs and units that layers have lost in a smaller network, by the names of the layers."""

    consumers: Collection[str] = ()
    """Layers that have lost inputs."""
    units: Mapping[str, Array] = field(default_factory=dict)
    """The kept units of layers that have lost units, counted over all groups of the dense layer."""


def targets_of(model: Any, dense: Any, pruned: Collection[str], removed: RemovedChannels) -> list[Target]:
    """Return the layers to reconstruct, in the order of the graph: pruned layers, and trainable layers behind them.

    Args:
        model: the pruned model.
        dense: the model before pruning.
        pruned: names of places that lose weights.
        removed: layers that have already lost inputs or units; those that lost inputs count as pruned too.
    """
    graph, twins = graph_of(model), {place.name: place.layer for place in places(dense)}
    known = {id(place.layer): place for place in reversed(list(places(model)))}
    ordered = {id(call.operation): known[id(call.operation)] for call in graph.calls if id(call.operation) in known}
    found: list[Target] = []
    behind_pruned = False
    for place in ordered.values():
        asked = place.name in pruned or place.name in removed.consumers
        if (asked or (behind_pruned and place.layer.trainable)) and reason_not_reconstructable(
            place.layer, graph
        ) is None:
            norm, units = norm_behind(place.layer, graph), removed.units.get(place.name)
            found.append(Target(place.name, place.layer, twins[place.name], norm, units))
        behind_pruned = behind_pruned or asked
    return found


def norm_behind(layer: Any, graph: Graph) -> Any | None:
    """Return the BatchNormalization that can hold the bias of a layer without one; None if there is none."""
    if getattr(layer, "bias", None) is not None or getattr(layer, "activation", None) not in LINEAR:
        return None
    norm = batchnorm_behind(layer, graph)
    return norm if norm is not None and is_per_unit(norm, layer, rows.num_units(layer)) else None


def reason_not_reconstructable(layer: Any, graph: Graph) -> str | None:
    """Return the reason why a layer cannot be reconstructed, or None when it can."""
    reason = rows.reason_not_a_matrix_product(layer)
    if reason is not None:
        return reason
    if not graph.calls_of(layer):
        return "it is called by code, not in a graph of layers"
    groups, num_inputs = prunable.num_groups(layer), rows.num_inputs(layer)
    if groups * num_inputs**2 > MAX_NUMBERS:
        return f"its units have {num_inputs:,} inputs, and {int((MAX_NUMBERS / groups) ** 0.5):,} is the most"
    return None
