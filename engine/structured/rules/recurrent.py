"""Rules of recurrent layers, and of wrappers around other layers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import keras
import numpy as np

from engine.structured.coupling import POSITION, Axes, Axis, AxisLabels, CouplingBuilder
from engine.structured.rules.elementwise import after_activation
from engine.structured.rules.site import Rule, Site, freeze_all

GATES: Final[Mapping[str, int]] = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
"""Blocks of units in a kernel, one for each gate."""

STATES: Final[Mapping[str, int]] = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}


def recurrent(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each unit: a column of each gate, and a row of the recurrent kernel."""
    layer = site.operation
    units = _units(layer, site, coupling)
    coupling.resize(layer, ("units",), units)
    _freeze_time(site, coupling)
    _join_states(site, coupling, (units,) * STATES[type(layer).__name__])
    output: Axes = (site.axes[0], site.axes[1], units) if layer.return_sequences else (site.axes[0], units)
    return [output, *[(site.axes[0], units)] * (len(site.out_shapes) - 1)]


def bidirectional(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple the units of the forward and the backward layer: Keras expects the same number in both."""
    wrapper = site.operation
    halves = {"layer": wrapper.forward_layer, "backward_layer": wrapper.backward_layer}
    if any(type(half).__name__ not in GATES or not _of_keras(half) for half in halves.values()):
        return _frozen_output(site, coupling)
    made = []
    for key, half in halves.items():
        with coupling.inside(wrapper, half, (key, "config")):
            units = _units(half, site, coupling)
            coupling.resize(half, ("units",), units)
            made.append(units)
    forward, back = made
    coupling.join(forward, back)
    _freeze_time(site, coupling)
    states = [units for units in made for _ in range(STATES[type(wrapper.forward_layer).__name__])]
    _join_states(site, coupling, tuple(states))
    features = {None: made, "concat": [np.concatenate(made)]}.get(wrapper.merge_mode, [forward])
    lead = site.axes[:2] if wrapper.return_sequences else site.axes[:1]
    outputs: list[Axes] = [(*lead, axis) for axis in features]
    return outputs + [(site.axes[0], state) for state in states[: len(site.out_shapes) - len(outputs)]]


def _units(layer: Any, site: Site, coupling: CouplingBuilder) -> AxisLabels:
    """Join everything that belongs to one unit, and return the labels of the units."""
    cell, gates = layer.cell, GATES[type(layer).__name__]
    coupling.join(coupling.dim(layer, cell.kernel, 0, "consumes"), site.axes[-1])
    units = coupling.dim(layer, cell.recurrent_kernel, 0, "consumes", unit="units")
    coupling.join(coupling.dim(layer, cell.kernel, 1, "produces", unit="units"), np.tile(units, gates))
    coupling.join(coupling.dim(layer, cell.recurrent_kernel, 1, "produces", unit="units"), np.tile(units, gates))
    if cell.bias is not None:  # GRU may have two rows of biases
        coupling.join(coupling.dim(layer, cell.bias, -1), np.tile(units, gates))
    for name in ("activation", "recurrent_activation"):
        after_activation(cell, (units,), coupling, name)
    return units


def _freeze_time(site: Site, coupling: CouplingBuilder) -> None:
    """Freeze the axis of time, because the layer processes every step."""
    coupling.freeze(site.axes[1], f"{site.operation.name} takes an axis of channels for one of time")


def _join_states(site: Site, coupling: CouplingBuilder, units: tuple[AxisLabels, ...]) -> None:
    """Join the units with the initial states of a call, and freeze its mask."""
    if (mask := site.kwargs.get("mask")) is not None and id(mask) in site.tensors:
        freeze_all(coupling, site.axes_of(mask), f"{site.operation.name} takes a mask")
    given = keras.tree.flatten(site.argument(1, "initial_state"))
    for state, labels in zip(given, units, strict=False):
        if id(state) in site.tensors:
            coupling.join(labels, site.axes_of(state)[-1])
        elif state is not None:
            coupling.freeze(labels, f"{site.operation.name} starts with a state that no layer produces")


def _of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def _frozen_output(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    inner = getattr(site.operation, "layer", None) or site.operation.forward_layer
    reason = f"{site.operation.name} wraps {type(inner).__name__}, which has no rule for channels"
    site.freeze(coupling, reason)
    return [(reason,) * len(shape) for shape in site.out_shapes]


def time_distributed(rules: Mapping[str, Rule]) -> Rule:
    """Return the rule of ``TimeDistributed``: the rule of the inner layer, applied to a single step.

    Args:
        rules: all rules, by class names.
    """

    def rule(site: Site, coupling: CouplingBuilder) -> list[Axes]:
        wrapper, inner = site.operation, site.operation.layer
        known = rules.get(type(inner).__name__)
        if known is None or not _of_keras(inner) or len(site.out_shapes) != 1:
            return _frozen_output(site, coupling)
        for other in site.given[1:]:
            freeze_all(coupling, other, f"{wrapper.name} takes a mask")
        step = replace(
            site,
            operation=inner,
            args=(),
            kwargs={},
            tensors=site.tensors[:1],
            given=(_step(site.axes),),
            shapes=(_step(site.shape),),
            out_shapes=(_step(site.out_shapes[0]),),
        )
        with coupling.inside(wrapper, inner, ("layer", "config")):
            (made,) = known(step, coupling)
        time: Axis = site.axes[1] if isinstance(site.axes[1], str) else POSITION
        coupling.freeze(site.axes[1], f"{wrapper.name} takes an axis of channels for one of time")
        return [(made[0], time, *made[1:])]

    return rule


def _step(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values without that of the time axis."""
    return (values[0], *values[2:])


RULES: Final[Mapping[str, Rule]] = {**dict.fromkeys(GATES, recurrent), "Bidirectional": bidirectional}

WRAPPERS: Final[Mapping[str, Callable[[Mapping[str, Rule]], Rule]]] = {"TimeDistributed": time_distributed}
"""Rules that use the rule of the wrapped layer."""
