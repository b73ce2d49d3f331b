"""One call as the rules see it: an operation, the axes of what it reads, and the shapes around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from engine.models.graph import Call, Graph
from engine.structured.coupling import POSITION, Axes, Axis, Book

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Site:
    """A call, with an entry in ``given`` and ``shapes`` for each tensor among its arguments, in their order."""

    operation: Any
    args: tuple[Any, ...]
    """As in the call, with symbolic tensors."""
    kwargs: Mapping[str, Any]
    tensors: tuple[int, ...]
    """The ids of the symbolic tensors among the arguments, in their order."""
    given: tuple[Axes, ...]
    shapes: tuple[Shape, ...]
    out_shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, call: Call, graph: Graph, axes: Mapping[int, Axes]) -> "Site":
        """The call at its place in the graph."""
        arguments = call.arguments
        tensors = [call.reads[id(tensor)] for tensor in arguments.keras_tensors]
        return cls(
            call.operation,
            arguments.args,
            arguments.kwargs,
            tuple(id(tensor) for tensor in arguments.keras_tensors),
            tuple(axes[slot] for slot in tensors),
            tuple(graph.shapes[slot] for slot in tensors),
            tuple(graph.shapes[slot] for slot in call.writes),
        )

    @property
    def axes(self) -> Axes:
        """Of the first tensor."""
        return self.given[0]

    @property
    def shape(self) -> Shape:
        """Of the first tensor."""
        return self.shapes[0]

    @property
    def channel_axis(self) -> int:
        """The place of the channels, by the layer's data format."""
        return 1 if getattr(self.operation, "data_format", None) == "channels_first" else len(self.shape) - 1

    @property
    def constants(self) -> list[Any]:
        """Arrays among the arguments that are not tensors of the graph, such as weights of nobody's."""
        flat = keras.tree.flatten((self.args, dict(self.kwargs)))
        return [value for value in flat if not isinstance(value, keras.KerasTensor | str) and np.ndim(value) > 0]

    def argument(self, place: int, name: str) -> Any:
        """What a call gave for a parameter, or None."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name)

    def axes_of(self, tensor: Any) -> Axes:
        """Of one of the call's symbolic tensors."""
        return self.given[self.tensors.index(id(tensor))]

    def freeze(self, book: Book, reason: str) -> None:
        """Nobody may cut what goes in here."""
        for axes in self.given:
            freeze_all(book, axes, reason)


Rule = Callable[[Site, Book], list[Axes]]
"""Joins and freezes what a call couples, and returns the axes of what it gives."""


def freeze_all(book: Book, axes: Axes, reason: str) -> None:
    """Nobody may cut along any of these axes."""
    for axis in axes:
        book.freeze(axis, reason)


def with_channels(site: Site, channels: Axis, book: Book) -> list[Axes]:
    """The axes of the output of a layer that makes channels at positions, and sees positions together."""
    for place, axis in enumerate(site.axes):
        if place != site.channel_axis:
            book.freeze(axis, f"{site.operation.name} takes an axis of channels for one of positions")
    axes: list[Axis] = [POSITION] * len(site.out_shapes[0])
    axes[1 if site.channel_axis == 1 and len(axes) > 2 else -1] = channels
    return [tuple(axes)]
