"""From a Keras model to its labels: each call of the graph, in order, is put to the rule of its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.channels import attention, elementwise, norms, products, recurrent, shapes
from engine.channels.labels import INPUT, OUTPUT, Axes, Book
from engine.channels.site import Rule, Site
from engine.graph import Call, Graph, graph_of

RULES: Final[Mapping[str, Rule]] = {
    **products.RULES,
    **norms.RULES,
    **shapes.RULES,
    **elementwise.RULES,
    **recurrent.RULES,
    **attention.RULES,
}
"""By the names of Keras' own classes, of layers and of operations."""


@dataclass(frozen=True)
class Trace:
    """A model's graph, and what the rules wrote about it."""

    model: Any
    graph: Graph
    book: Book
    axes: Mapping[int, Axes]
    """Of every slot of the graph."""


def trace(model: Any) -> Trace:
    """Label every axis of every variable and tensor of a model."""
    graph, book = graph_of(model), Book()
    axes: dict[int, Axes] = {slot: (INPUT,) * len(graph.shapes[slot]) for slot in graph.inputs}
    for call in graph.calls:
        site = Site.of(call, graph, axes)
        axes.update(zip(call.writes, rule_of(call)(site, book), strict=True))
    for slot in graph.outputs:
        for axis in axes[slot]:
            book.freeze(axis, OUTPUT)
    _join_entries(graph, axes, book)
    return Trace(model, graph, book, axes)


def rule_of(call: Call) -> Rule:
    """The rule of a call's kind; without one, whatever it touches is frozen."""
    kind = type(call.operation)
    return RULES.get(kind.__name__, unknown) if kind.__module__.startswith("keras.") else unknown


def unknown(site: Site, book: Book) -> list[Axes]:
    """Freeze all that goes in, and give out nothing that could be cut."""
    reason = f"{site.operation.name} ({type(site.operation).__name__}) is nothing that channels are known to pass"
    for axes in site.given:
        for axis in axes:
            book.freeze(axis, reason)
    return [(reason,) * len(shape) for shape in site.out_shapes]


def _join_entries(graph: Graph, axes: Mapping[int, Axes], book: Book) -> None:
    """A nested model has one shape of inputs, however often it is called; its config must follow."""
    for tensor, slot in graph.entries:
        for number, axis in enumerate(axes[slot]):
            book.resize(tensor, (number,), axis)
