"""The view that a rule has of one call: the operation, the axes of its inputs, and the shapes of inputs and outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from engine.models.graph import Call, Graph
from engine.structured.coupling import POSITION, Axes, Axis, CouplingBuilder

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Site:
    """A call; ``given`` and ``shapes`` have one entry for each tensor among its arguments, in their order."""

    operation: Any
    args: tuple[Any, ...]
    """The arguments of the call, with symbolic tensors."""
    kwargs: Mapping[str, Any]
    tensors: tuple[int, ...]
    """The ids of the symbolic tensors among the arguments, in their order."""
    given: tuple[Axes, ...]
    shapes: tuple[Shape, ...]
    out_shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, call: Call, graph: Graph, axes: Mapping[int, Axes]) -> "Site":
        """Return the site of a call in a graph."""
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
        """The axes of the first input tensor."""
        return self.given[0]

    @property
    def shape(self) -> Shape:
        """The shape of the first input tensor."""
        return self.shapes[0]

    @property
    def channel_axis(self) -> int:
        """The index of the channel axis, by the layer's data format."""
        return 1 if getattr(self.operation, "data_format", None) == "channels_first" else len(self.shape) - 1

    @property
    def constants(self) -> list[Any]:
        """Arrays among the arguments that are not tensors of the graph, such as weights that belong to no layer."""
        flat = keras.tree.flatten((self.args, dict(self.kwargs)))
        return [value for value in flat if not isinstance(value, keras.KerasTensor | str) and np.ndim(value) > 0]

    def argument(self, place: int, name: str) -> Any:
        """Return the argument that the call passes for a parameter, or None."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name)

    def axes_of(self, tensor: Any) -> Axes:
        """Return the axes of one of the call's symbolic tensors."""
        return self.given[self.tensors.index(id(tensor))]

    def freeze(self, coupling: CouplingBuilder, reason: str) -> None:
        """Freeze all axes of all inputs."""
        for axes in self.given:
            freeze_all(coupling, axes, reason)


Rule = Callable[[Site, CouplingBuilder], list[Axes]]
"""Joins and freezes the axes that a call couples, and returns the axes of its outputs."""


def freeze_all(coupling: CouplingBuilder, axes: Axes, reason: str) -> None:
    """Freeze each of these axes for one reason."""
    for axis in axes:
        coupling.freeze(axis, reason)


def with_channels(site: Site, channels: Axis, coupling: CouplingBuilder) -> list[Axes]:
    """Return the output axes of a layer that produces channels at positions; input axes of positions are frozen."""
    for place, axis in enumerate(site.axes):
        if place != site.channel_axis:
            coupling.freeze(axis, f"{site.operation.name} takes an axis of channels for one of positions")
    axes: list[Axis] = [POSITION] * len(site.out_shapes[0])
    axes[1 if site.channel_axis == 1 and len(axes) > 2 else -1] = channels
    return [tuple(axes)]
