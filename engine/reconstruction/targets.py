"""Which layers a repair solves again, in which order, and why it leaves others alone."""

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
"""Numbers in a layer's normal equations up to which it is solved: the square of a unit's inputs, for each group."""

LINEAR = (None, keras.activations.linear)


@dataclass(frozen=True)
class Target:
    """A layer that is solved, its twin in the dense network, and the normalisation behind it that holds its bias."""

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
class Narrowed:
    """What a smaller network has left of the dense one, by the names of layers."""

    readers: Collection[str] = ()
    """Layers that have lost inputs."""
    units: Mapping[str, Array] = field(default_factory=dict)
    """Of layers that have lost units, those that stay, counted over all groups of the dense layer."""


def targets_of(model: Any, dense: Any, cut: Collection[str], narrowed: Narrowed) -> list[Target]:
    """What is solved, in the order of the graph: what is cut, and what comes behind a cut and is not frozen.

    Args:
        dense: the model as it was before the cut.
        cut: names of places that lose weights; those that have lost inputs count as cut too.
    """
    graph, twins = graph_of(model), {place.name: place.layer for place in places(dense)}
    known = {id(place.layer): place for place in reversed(list(places(model)))}
    ordered = {id(call.operation): known[id(call.operation)] for call in graph.calls if id(call.operation) in known}
    found: list[Target] = []
    behind_a_cut = False
    for place in ordered.values():
        asked = place.name in cut or place.name in narrowed.readers
        if (asked or (behind_a_cut and place.layer.trainable)) and why_not(place.layer, graph) is None:
            norm, units = norm_behind(place.layer, graph), narrowed.units.get(place.name)
            found.append(Target(place.name, place.layer, twins[place.name], norm, units))
        behind_a_cut = behind_a_cut or asked
    return found


def norm_behind(layer: Any, graph: Graph) -> Any | None:
    """The BatchNormalization that can hold the bias which a layer has not."""
    if getattr(layer, "bias", None) is not None or getattr(layer, "activation", None) not in LINEAR:
        return None
    norm = batchnorm_behind(layer, graph)
    return norm if norm is not None and is_per_unit(norm, layer, rows.num_units(layer)) else None


def why_not(layer: Any, graph: Graph) -> str | None:
    """Why a layer cannot be solved again, or None when it can."""
    reason = rows.not_a_product(layer)
    if reason is not None:
        return reason
    if not graph.calls_of(layer):
        return "it is called by code, not in a graph of layers"
    groups, num_inputs = prunable.num_groups(layer), rows.num_inputs(layer)
    if groups * num_inputs**2 > MAX_NUMBERS:
        return f"its units have {num_inputs:,} inputs, and {int((MAX_NUMBERS / groups) ** 0.5):,} is the most"
    return None
