"""Arrays that belong to the same samples: one for each input, or output, of a model that has several.

They are cut, picked and counted like one array, so that what passes samples on need not ask how many inputs there
are: a model with one input is given the bare array.
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from engine.arrays import Array

T_co = TypeVar("T_co", bound=Sized, covariant=True)


@dataclass(frozen=True)
class Parts(Generic[T_co]):
    """Arrays, or rows of a file, of the same samples, by name.

    >>> parts = Parts(("left", "right"), (np.array([1, 2, 3]), np.array([4, 5, 6])))
    >>> len(parts), parts[1:].each
    (3, (array([2, 3]), array([5, 6])))
    """

    names: tuple[str, ...]
    each: tuple[T_co, ...]

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.each) > 0
        assert len(set(map(len, self.each))) == 1, "parts of the same samples are equally many"

    def __len__(self) -> int:
        return len(self.each[0])

    def __getitem__(self, which: "slice | Array") -> "Parts[Array]":
        """The samples of a slice, or at these places."""
        each: tuple[Any, ...] = self.each
        return Parts(self.names, tuple(part[which] for part in each))

    def named(self, name: str) -> T_co:
        """The part of that name."""
        return self.each[self.names.index(name)]

    def ordered(self, names: Sequence[str]) -> "Parts[T_co]":
        """Those of the names that there are, in their order."""
        found = tuple(name for name in names if name in self.names)
        return Parts(found, tuple(map(self.named, found)))


Inputs = Array | Parts[Array]
"""Of one model: the array of its one input, or one for each."""

Outputs = Array | Parts[Array]
"""Of one model, or the labels of its outputs."""


def arrays_of(inputs: Inputs) -> tuple[Array, ...]:
    """All arrays, in the order of the model's inputs or outputs."""
    return inputs.each if isinstance(inputs, Parts) else (inputs,)


def as_model_input(inputs: Any) -> Any:
    """What Keras takes: the array of one input, a list for several. Tensors pass as they are."""
    return list(inputs.each) if isinstance(inputs, Parts) else inputs


def output_names(model: Any) -> tuple[str, ...]:
    """What the outputs of a model are called: after the layers that make them; a layer's second one with a number."""
    names = list(getattr(model, "output_names", None) or [f"output_{place}" for place in range(len(model.outputs))])
    return tuple(
        name if name not in names[:place] else f"{name}_{names[:place].count(name)}" for place, name in enumerate(names)
    )


def named_outputs(model: Any, said: Any) -> Outputs:
    """What a model said as arrays, by the names of its outputs where there are several."""
    if not isinstance(said, list | tuple):
        return np.asarray(said)
    return by_output(output_names(model), [np.asarray(array) for array in said])


def by_output(names: Sequence[str], arrays: Sequence[Array]) -> Array | Parts[Array]:
    """One array as it is, several as parts.

    >>> by_output(("a",), [np.array([1, 2])])
    array([1, 2])
    """
    return arrays[0] if len(arrays) == 1 else Parts(tuple(names), tuple(arrays))


def concatenated(pieces: Iterable[Inputs]) -> Inputs:
    """Pieces of the same kind as one, in their order.

    >>> pieces = [Parts(("a", "b"), (np.array([1]), np.array([2])))] * 2
    >>> concatenated(pieces).each
    (array([1, 1]), array([2, 2]))
    """
    found = list(pieces)
    names = found[0].names if isinstance(found[0], Parts) else ("",)
    columns = zip(*map(arrays_of, found), strict=True)
    return by_output(names, [np.concatenate(column) for column in columns])
