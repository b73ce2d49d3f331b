"""From a Keras model to its labels: each call of the graph, in order, is put to the rule of its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.models.graph import Call, Graph, graph_of
from engine.structured.coupling import INPUT, OUTPUT, Axes, Book
from engine.structured.rules import attention, elementwise, indexing, norms, products, recurrent, shapes
from engine.structured.rules.site import Rule, Site, freeze_all

_PLAIN: Final[Mapping[str, Rule]] = {
    **products.RULES,
    **norms.RULES,
    **shapes.RULES,
    **indexing.RULES,
    **elementwise.RULES,
    **recurrent.RULES,
    **attention.RULES,
}

RULES: Final[Mapping[str, Rule]] = {
    **_PLAIN,
    **{name: wrapper(_PLAIN) for name, wrapper in recurrent.WRAPPERS.items()},
}
"""By the names of Keras' own classes, of layers and of operations."""

OF_SEVERAL: Final = frozenset(
    {
        *(shapes.concatenate, indexing.stack, indexing.get_item, elementwise.joined, elementwise.added),
        *(elementwise.average, recurrent.recurrent, recurrent.bidirectional, attention.attention),
        RULES["TimeDistributed"],
    }
)
"""Rules that look at more than the first tensor."""


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
        axes.update(zip(call.writes, _made(rule_of(call), site, book), strict=True))
    for slot in graph.outputs:
        for axis in axes[slot]:
            book.freeze(axis, OUTPUT)
    _join_entries(graph, axes, book)
    return Trace(model, graph, book, axes)


def rule_of(call: Call) -> Rule:
    """The rule of a call's kind; without one, whatever it touches is frozen."""
    kind = type(call.operation)
    return RULES.get(kind.__name__, unknown) if kind.__module__.startswith("keras.") else unknown


def _made(rule: Rule, site: Site, book: Book) -> list[Axes]:
    """What a rule says, unless there is more to the call than it looks at: then that is frozen."""
    made, name = rule(site, book), site.operation.name
    if rule not in OF_SEVERAL:
        for axes in site.given[1:]:
            freeze_all(book, axes, f"{name} takes it beside its input")
    known = {variable for variable, _ in book.dims}
    others = [each for each in getattr(site.operation, "weights", ()) if each.shape and id(each) not in known]
    if others and any(not isinstance(axis, str) for axes in made for axis in axes):
        reason = f"{name} has weights of its own making, such as {others[0].path.rsplit('/', 1)[-1]}"
        for axes in (*site.given, *made):
            freeze_all(book, axes, reason)
    return made


def unknown(site: Site, book: Book) -> list[Axes]:
    """Freeze all that goes in, and give out nothing that could be cut."""
    reason = f"{site.operation.name} ({type(site.operation).__name__}) is nothing that channels are known to pass"
    site.freeze(book, reason)
    return [(reason,) * len(shape) for shape in site.out_shapes]


def _join_entries(graph: Graph, axes: Mapping[int, Axes], book: Book) -> None:
    """A nested model has one shape of inputs, however often it is called; its config must follow."""
    for tensor, slot in graph.entries:
        for number, axis in enumerate(axes[slot]):
            book.resize(tensor, (number,), axis)
