"""Which layer is called on what: the node formats of Keras 1 and 2.

A node is a list of ``[layer, call, output, arguments]``, one such entry, or a structure of them; tensors among the
arguments stand there as ``[layer, call, output]``, constants in front as ``["_CONSTANT_VALUE", -1, value, arguments]``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.importers.refusals import unreadable

CONSTANT: Final = "_CONSTANT_VALUE"


class Reference(NamedTuple):
    """The output of one call of a layer."""

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer: its inputs with references in place of tensors, and its arguments by name."""

    args: Any
    kwargs: dict[str, Any]


def nodes_of(layer: Any) -> list[Node]:
    """The calls of one layer of a config, first to last.

    Raises:
        ModelUnreadable: they are in no format of Keras 1 or 2.
    """
    given = layer.get("inbound_nodes", [])
    if not isinstance(given, list):
        raise unreadable("The config has nodes that are no list.")
    return [_node(node) for node in given]


def _node(node: Any) -> Node:
    kwargs: dict[str, Any] = {}

    def walk(value: Any) -> Any:
        if _is_entry(value):
            if len(value) > 3 and isinstance(value[3], dict):
                kwargs.update(_unwrapped(value[3]))
            return value[2] if value[0] == CONSTANT else Reference(value[0], value[1], value[2])
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        raise unreadable(f"A node of the config holds {str(value)[:60]}.")

    args = walk(_unwrapped(node))
    if isinstance(args, list) and len(args) == 1:
        args = args[0]
    return Node(args, {key: _with_references(value) for key, value in kwargs.items()})


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and (value[0] == CONSTANT or isinstance(value[2], int))
    )


def _with_references(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) == 3 and _is_entry(value):
            return Reference(*value)
        return [_with_references(item) for item in value]
    return {key: _with_references(item) for key, item in value.items()} if isinstance(value, dict) else value


def _unwrapped(value: Any) -> Any:
    """Lists in place of the tuples that SavedModels keep."""
    if isinstance(value, dict):
        if value.get("class_name") == "__tuple__":
            return [_unwrapped(item) for item in value.get("items", ())]
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list) else value


def structure_of(value: Any, layers: set[str]) -> Any:
    """The inputs or outputs of a model as references: one, a list, or a dict of them.

    Raises:
        ModelUnreadable: one of them names no layer of the model.
    """
    value = _unwrapped(value)
    if _is_entry(value):
        if value[0] not in layers:
            raise unreadable(f"The model reads {value[0][:80]!r}, which is not among its layers.")
        return Reference(*value[:3])
    if isinstance(value, dict):
        return {str(key): structure_of(item, layers) for key, item in value.items()}
    if isinstance(value, list) and value:
        items = [structure_of(item, layers) for item in value]
        return items[0] if len(items) == 1 else items
    raise unreadable("The config does not say what the inputs and outputs of the model are.")


def references(value: Any) -> list[Reference]:
    """All references in a node or a structure."""
    if isinstance(value, Reference):
        return [value]
    if isinstance(value, Node):
        return references(value.args) + references(value.kwargs)
    if isinstance(value, dict):
        value = list(value.values())
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def resolved(value: Any, tensor: Callable[[Reference], Any]) -> Any:
    """The same structure with tensors in place of references."""
    if isinstance(value, Reference):
        return tensor(value)
    if isinstance(value, dict):
        return {key: resolved(item, tensor) for key, item in value.items()}
    return [resolved(item, tensor) for item in value] if isinstance(value, list) else value
