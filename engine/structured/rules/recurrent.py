"""Rules of layers that go along time, and of wrappers around other layers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import keras
import numpy as np

from engine.structured.coupling import POSITION, Axes, Axis, Book, Labels
from engine.structured.rules.elementwise import after_activation
from engine.structured.rules.site import Rule, Site, freeze_all

GATES: Final[Mapping[str, int]] = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
"""How many blocks of units stand side by side in a kernel."""

STATES: Final[Mapping[str, int]] = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}


def recurrent(site: Site, book: Book) -> list[Axes]:
    """Units: a column of each gate, and a row of the kernel with which the layer reads its own state."""
    layer = site.operation
    units = _units(layer, site, book)
    book.resize(layer, ("units",), units)
    _hold_time(site, book)
    _join_states(site, book, (units,) * STATES[type(layer).__name__])
    output: Axes = (site.axes[0], site.axes[1], units) if layer.return_sequences else (site.axes[0], units)
    return [output, *[(site.axes[0], units)] * (len(site.out_shapes) - 1)]


def bidirectional(site: Site, book: Book) -> list[Axes]:
    """One layer goes forward and one back; Keras takes it that they have as many units, so the same go in both."""
    wrapper = site.operation
    halves = {"layer": wrapper.forward_layer, "backward_layer": wrapper.backward_layer}
    if any(type(half).__name__ not in GATES or not _of_keras(half) for half in halves.values()):
        return _refused(site, book)
    made = []
    for key, half in halves.items():
        with book.inside(wrapper, half, (key, "config")):
            units = _units(half, site, book)
            book.resize(half, ("units",), units)
            made.append(units)
    forward, back = made
    book.join(forward, back)
    _hold_time(site, book)
    states = [units for units in made for _ in range(STATES[type(wrapper.forward_layer).__name__])]
    _join_states(site, book, tuple(states))
    features = {None: made, "concat": [np.concatenate(made)]}.get(wrapper.merge_mode, [forward])
    lead = site.axes[:2] if wrapper.return_sequences else site.axes[:1]
    outputs: list[Axes] = [(*lead, axis) for axis in features]
    return outputs + [(site.axes[0], state) for state in states[: len(site.out_shapes) - len(outputs)]]


def _units(layer: Any, site: Site, book: Book) -> Labels:
    """Join what belongs to one unit, and return the labels of units."""
    cell, gates = layer.cell, GATES[type(layer).__name__]
    book.join(book.dim(layer, cell.kernel, 0, "reads"), site.axes[-1])
    units = book.dim(layer, cell.recurrent_kernel, 0, "reads", unit="units")
    book.join(book.dim(layer, cell.kernel, 1, "makes", unit="units"), np.tile(units, gates))
    book.join(book.dim(layer, cell.recurrent_kernel, 1, "makes", unit="units"), np.tile(units, gates))
    if cell.bias is not None:  # GRU may have two rows of them
        book.join(book.dim(layer, cell.bias, -1), np.tile(units, gates))
    for name in ("activation", "recurrent_activation"):
        after_activation(cell, (units,), book, name)
    return units


def _hold_time(site: Site, book: Book) -> None:
    """Steps are gone through one after the other, so that none may go."""
    book.freeze(site.axes[1], f"{site.operation.name} takes an axis of channels for one of time")


def _join_states(site: Site, book: Book, units: tuple[Labels, ...]) -> None:
    """States that a call begins with have the layer's units; a mask is of steps."""
    if (mask := site.kwargs.get("mask")) is not None and id(mask) in site.tensors:
        freeze_all(book, site.axes_of(mask), f"{site.operation.name} takes a mask")
    given = keras.tree.flatten(site.argument(1, "initial_state"))
    for state, labels in zip(given, units, strict=False):
        if id(state) in site.tensors:
            book.join(labels, site.axes_of(state)[-1])
        elif state is not None:
            book.freeze(labels, f"{site.operation.name} begins with a state of nobody's")


def _of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def _refused(site: Site, book: Book) -> list[Axes]:
    inner = getattr(site.operation, "layer", None) or site.operation.forward_layer
    reason = f"{site.operation.name} wraps {type(inner).__name__}, which channels are not known to pass"
    site.freeze(book, reason)
    return [(reason,) * len(shape) for shape in site.out_shapes]


def time_distributed(rules: Mapping[str, Rule]) -> Rule:
    """The rule of ``TimeDistributed``: what the inner layer's says of a single step.

    Args:
        rules: all that there are, by the names of classes.
    """

    def rule(site: Site, book: Book) -> list[Axes]:
        wrapper, inner = site.operation, site.operation.layer
        known = rules.get(type(inner).__name__)
        if known is None or not _of_keras(inner) or len(site.out_shapes) != 1:
            return _refused(site, book)
        for other in site.given[1:]:
            freeze_all(book, other, f"{wrapper.name} takes a mask")
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
        with book.inside(wrapper, inner, ("layer", "config")):
            (made,) = known(step, book)
        time: Axis = site.axes[1] if isinstance(site.axes[1], str) else POSITION
        book.freeze(site.axes[1], f"{wrapper.name} takes an axis of channels for one of time")
        return [(made[0], time, *made[1:])]

    return rule


def _step(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the axis of time."""
    return (values[0], *values[2:])


RULES: Final[Mapping[str, Rule]] = {**dict.fromkeys(GATES, recurrent), "Bidirectional": bidirectional}

WRAPPERS: Final[Mapping[str, Callable[[Mapping[str, Rule]], Rule]]] = {"TimeDistributed": time_distributed}
"""Rules that ask the rules of what is inside."""
