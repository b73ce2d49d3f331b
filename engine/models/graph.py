"""A Keras graph as a list of calls, and a walk along it that computes every activation only once.

Nested models are opened, so that each layer appears where its inputs are known. The walk keeps what is still
needed of all samples at one point of the list, the frontier; it moves on as layers become final, and stays
where it is while the activations there would take too much memory. At the model's inputs it keeps nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.parts import Inputs, as_model_input

MAX_FRONTIER_BYTES = 2**30
"""What the activations kept at a frontier may take; without room, they are computed again for each layer."""

State = tuple[int, dict[int, Any]]
"""A batch at some point of the list: how many samples it has, and values by slot."""


@dataclass(frozen=True)
class Call:
    """One call of an operation. Tensors are slots, numbered over the whole graph."""

    operation: Any
    arguments: Any
    reads: dict[int, int]
    """From the id of a symbolic tensor in ``arguments`` to its slot."""
    writes: tuple[int, ...]

    @property
    def source(self) -> int:
        """The slot of the first input."""
        return next(iter(self.reads.values()))

    def run(self, values: dict[int, Any]) -> None:
        """Compute the outputs, in inference mode."""
        args, kwargs = self.arguments.fill_in({tensor: values[slot] for tensor, slot in self.reads.items()})
        if "training" in kwargs:
            kwargs["training"] = False
        values.update(zip(self.writes, keras.tree.flatten(self.operation(*args, **kwargs)), strict=True))


@dataclass(frozen=True)
class Graph:
    """Calls in an order in which they can run. Empty for models that Keras does not know as a graph."""

    inputs: tuple[int, ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    shapes: Mapping[int, tuple[int | None, ...]] = field(default_factory=dict)
    """Of every slot, the axis of samples first; None where any size goes."""
    entries: tuple[tuple[Any, int], ...] = ()
    """Inputs of nested models as they see them, symbolic tensors, with the slots that stand for them; once a call."""

    def calls_of(self, layer: Any) -> list[int]:
        """The places of a layer in ``calls``."""
        return [place for place, call in enumerate(self.calls) if call.operation is layer]

    def readers(self, slot: int) -> list[Call]:
        """The calls that take a tensor."""
        return [call for call in self.calls if slot in call.reads.values()]

    def live(self, place: int) -> set[int]:
        """Slots that must be known to run the calls from ``place`` on."""
        needed = set(self.outputs)
        for call in reversed(self.calls[place:]):
            needed = (needed - set(call.writes)) | set(call.reads.values())
        return needed


def graph_of(model: Any) -> Graph:
    """The graph of a model, nested models opened."""
    functional = _functional(model)
    if functional is None:
        return Graph((), (), ())
    slots = {id(tensor): number for number, tensor in enumerate(functional.inputs)}
    inputs = tuple(slots.values())
    book = _Slots(len(slots), {slots[id(tensor)]: tuple(tensor.shape) for tensor in functional.inputs})
    calls = tuple(_calls(functional, slots, book))
    outputs = tuple(slots[id(tensor)] for tensor in functional.outputs)
    return Graph(inputs, calls, outputs, book.shapes, tuple(book.entries))


@dataclass
class _Slots:
    """What is known over all nested models: free slots, shapes, and where nested models begin."""

    free: int
    shapes: dict[int, tuple[int | None, ...]]
    entries: list[tuple[Any, int]] = field(default_factory=list)

    def take(self, tensor: Any) -> int:
        self.shapes[self.free] = tuple(tensor.shape)
        self.free += 1
        return self.free - 1


def _functional(model: Any) -> Any | None:
    """The model itself or the graph inside a Sequential; None for models that are only code."""
    inner = getattr(model, "_functional", None) or model
    return inner if hasattr(inner, "_nodes_by_depth") else None


def _calls(functional: Any, slots: dict[int, int], book: _Slots) -> Iterator[Call]:
    """Calls of one model; ``slots`` knows its inputs and learns its other tensors."""
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) not in slots for tensor in node.input_tensors):
                continue
            inner = _functional(node.operation)
            if inner is not None:
                inside = {
                    id(theirs): slots[id(ours)] for theirs, ours in zip(inner.inputs, node.input_tensors, strict=True)
                }
                book.entries += [(theirs, inside[id(theirs)]) for theirs in inner.inputs]
                yield from _calls(inner, inside, book)
                slots.update(
                    (id(ours), inside[id(theirs)]) for theirs, ours in zip(inner.outputs, node.outputs, strict=True)
                )
                continue
            slots.update((id(tensor), book.take(tensor)) for tensor in node.outputs)
            yield Call(
                node.operation,
                node.arguments,
                {id(tensor): slots[id(tensor)] for tensor in node.input_tensors},
                tuple(slots[id(tensor)] for tensor in node.outputs),
            )


class Walk:
    """Samples on their way through a model."""

    def __init__(self, model: Any, batches: Callable[[], Iterable[Inputs]], count: int) -> None:
        """Stand at the model's inputs.

        Args:
            batches: makes the model's inputs, the same each time; asked whenever they are needed.
            count: samples in all batches together.
        """
        self.graph = graph_of(model)
        self._functional = _functional(model)
        self._batches, self._count = batches, count
        self._place = 0
        self._states: list[State] | None = None

    def advance(self, place: int) -> None:
        """Move the frontier to a call, if the activations there fit in memory. All calls before it must be final."""
        if place == self._place:
            return
        live = self.graph.live(place)
        moved: list[State] = []
        for size, values in self._frontier():
            kept = {slot: value for slot, value in self._run(values, place).items() if slot in live}
            if not moved and _num_bytes(kept) / size * self._count > MAX_FRONTIER_BYTES:
                return
            moved.append((size, kept))
        self._place, self._states = place, moved

    def inputs(self, places: Sequence[int]) -> Iterator[list[Array]]:
        """Batch by batch, what the calls at ``places``, none before the frontier, read first."""
        sources = [self.graph.calls[place].source for place in places]
        for _, known in self._frontier():
            values = self._run(known, max(places), keep=set(sources))
            yield [np.asarray(keras.ops.convert_to_numpy(values[source])) for source in sources]

    def _frontier(self) -> Iterator[State]:
        """What is known of each batch at the frontier; at the model's inputs it is made anew."""
        if self._states is not None:
            yield from self._states
            return
        for batch in self._batches():
            yield len(batch), dict(zip(self.graph.inputs, _standard(self._functional, batch), strict=True))

    def _run(self, known: dict[int, Any], place: int, keep: set[int] | None = None) -> dict[int, Any]:
        """Values of a batch after the calls from the frontier up to ``place``."""
        values = dict(known)
        last_use = self._last_uses(place, keep or set())
        for position in range(self._place, place):
            self.graph.calls[position].run(values)
            for slot in last_use.get(position, ()):
                values.pop(slot, None)
        return values

    def _last_uses(self, place: int, keep: set[int]) -> dict[int, list[int]]:
        """Which slots nobody needs any more after each call, so that memory is given back on the way."""
        spared = self.graph.live(place) | keep
        last: dict[int, int] = {}
        for position in range(self._place, place):
            call = self.graph.calls[position]
            last.update(dict.fromkeys([*call.reads.values(), *call.writes], position))
        dropped: dict[int, list[int]] = {}
        for slot, position in last.items():
            if slot not in spared:
                dropped.setdefault(position, []).append(slot)
        return dropped


def _standard(functional: Any, batch: Inputs) -> list[Any]:
    """A batch in the type and rank that the model itself would give it."""
    return list(functional._standardize_inputs(as_model_input(batch)))


def _num_bytes(values: dict[int, Any]) -> int:
    return sum(int(np.prod(value.shape)) * np.dtype(value.dtype.name).itemsize for value in values.values())
