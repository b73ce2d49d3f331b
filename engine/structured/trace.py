"""Label the axes of a Keras model: the rule of each call's kind is applied, in the order of the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.models.graph import Call, Graph, graph_of
from engine.structured.coupling import INPUT, OUTPUT, Axes, CouplingBuilder
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
"""Rules by the class names of Keras' own layers and operations."""

OF_SEVERAL: Final = frozenset(
    {
        *(shapes.concatenate, indexing.stack, indexing.get_item, elementwise.joined, elementwise.added),
        *(elementwise.average, recurrent.recurrent, recurrent.bidirectional, attention.attention),
        RULES["TimeDistributed"],
    }
)
"""Rules that use more than the first input tensor."""


@dataclass(frozen=True)
class Trace:
    """A model's graph, and the couplings that the rules found in it."""

    model: Any
    graph: Graph
    coupling: CouplingBuilder
    axes: Mapping[int, Axes]
    """The axes of every slot of the graph."""


def trace(model: Any) -> Trace:
    """Label every axis of every variable and tensor of a model."""
    graph, coupling = graph_of(model), CouplingBuilder()
    axes: dict[int, Axes] = {slot: (INPUT,) * len(graph.shapes[slot]) for slot in graph.inputs}
    for call in graph.calls:
        site = Site.of(call, graph, axes)
        axes.update(zip(call.writes, _made(rule_of(call), site, coupling), strict=True))
    for slot in graph.outputs:
        for axis in axes[slot]:
            coupling.freeze(axis, OUTPUT)
    _join_entries(graph, axes, coupling)
    return Trace(model, graph, coupling, axes)


def rule_of(call: Call) -> Rule:
    """Return the rule of a call's kind; without one, ``unknown``, which freezes all inputs."""
    kind = type(call.operation)
    return RULES.get(kind.__name__, unknown) if kind.__module__.startswith("keras.") else unknown


def _made(rule: Rule, site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Apply a rule, and freeze the inputs and weights of the call that the rule does not cover."""
    made, name = rule(site, coupling), site.operation.name
    if rule not in OF_SEVERAL:
        for axes in site.given[1:]:
            freeze_all(coupling, axes, f"{name} takes it as an additional input")
    known = {variable for variable, _ in coupling.dims}
    others = [each for each in getattr(site.operation, "weights", ()) if each.shape and id(each) not in known]
    if others and any(not isinstance(axis, str) for axes in made for axis in axes):
        reason = f"{name} has weights that Keras does not know, such as {others[0].path.rsplit('/', 1)[-1]}"
        for axes in (*site.given, *made):
            freeze_all(coupling, axes, reason)
    return made


def unknown(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Freeze all inputs, and return axes that cannot be pruned."""
    reason = f"{site.operation.name} ({type(site.operation).__name__}) has no rule for channels"
    site.freeze(coupling, reason)
    return [(reason,) * len(shape) for shape in site.out_shapes]


def _join_entries(graph: Graph, axes: Mapping[int, Axes], coupling: CouplingBuilder) -> None:
    """Declare the input shapes of nested models as config entries: they are the same at every call."""
    for tensor, slot in graph.entries:
        for number, axis in enumerate(axes[slot]):
            coupling.resize(tensor, (number,), axis)
