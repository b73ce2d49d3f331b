"""Which operations at the ends of a file stay float32 under int8, because one scale cannot hold unlike columns.

int8 gives a tensor of activations one step for all of its columns. Where a column varies by less than a few steps, its
values become almost constant: at the input of a model with ``Normalization`` inside, and at the output of a regression
whose columns have different units. The operations between such a tensor and the first, or from the last, tensor whose
columns are alike are small, and cost next to nothing in float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from engine.arrays import Array
from engine.export.tflite_file import operation_name

MIN_STEPS: Final = 4.0
"""Standard deviation of a column in int8 steps, under which the column counts as lost. Rounding adds an error with a
standard deviation of 0.29 steps: at four steps that is half a per cent of the column's variance."""

LEVELS: Final = 255

_WITH_CONSTANT: Final = ("SUB", "MUL", "ADD", "DIV")
_PASSING: Final = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_BOUNDED: Final = ("SOFTMAX", "LOGISTIC")
"""Operations whose outputs have a step of 1/256 by definition."""


@dataclass(frozen=True)
class FloatEnds:
    """The operations that stay float32, by the names of their output tensors, and why."""

    tensors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


def lost_columns(values: Array) -> list[int]:
    """Columns, on the last axis, that vary by less than ``MIN_STEPS`` steps of a shared int8 scale.

    Args:
        values: samples of a tensor, shape (n, ..., columns).

    >>> lost_columns(np.array([[0.0, 0.01], [100.0, 0.02]]))
    [1]
    """
    if values.dtype.kind != "f" or values.ndim < 2 or values.shape[-1] < 2:
        return []
    step, deviations = _step_and_deviations(values)
    return [int(place) for place in np.flatnonzero((deviations > 0) & (deviations < MIN_STEPS * step))]


def _step_and_deviations(values: Array) -> tuple[float, Array]:
    """The int8 step that all columns share, and the standard deviation of each column."""
    columns = values.reshape(-1, values.shape[-1])
    return float(max(columns.max(), 0.0) - min(columns.min(), 0.0)) / LEVELS, columns.std(axis=0)


def float_ends(content: bytes, inputs: Sequence[Array], outputs: Sequence[Array]) -> FloatEnds:
    """The operations of a float32 file that int8 should leave alone.

    Args:
        content: the file, made here from the model without a scheme.
        inputs: calibration samples, one array for each input of the model, in its order.
        outputs: what the file computes for them, one array for each output.
    """
    graph = _Graph(content)
    tensors: list[str] = []
    notes: list[str] = []
    suggestions: list[str] = []
    for tensor, values in zip(graph.inputs(len(inputs)), inputs, strict=True):
        if lost := lost_columns(values):
            found = [graph.name(each) for each in graph.scaled_from(tensor)]
            tensors += found
            if found:
                notes.append(f"The normalisation at the input stays float32, because {_why(lost, values)}.")
            else:
                notes.append(f"int8 loses {_listed(lost, 'input')}: {_why(lost, values)}.")
                suggestions.append("Scale each input column to a similar range, or begin the model with Normalization.")
    for tensor, values in zip(graph.outputs(len(outputs)), outputs, strict=True):
        producer = graph.producer(tensor)
        if producer is not None and graph.kind(producer) not in _BOUNDED and (lost := lost_columns(values)):
            tensors += [graph.name(each) for each in graph.back_from(tensor)]
            notes.append(f"The last operation stays float32, because {_why(lost, values)}.")
    return FloatEnds(tuple(dict.fromkeys(tensors)), tuple(notes), tuple(suggestions))


def _why(lost: Sequence[int], values: Array) -> str:
    (step, deviations), first = _step_and_deviations(values), lost[0]
    return (
        f"int8 has one step of {step:.3g} for all {values.shape[-1]} columns, and column {first} varies by only "
        f"{deviations[first]:.3g} (standard deviation)"
    )


def _listed(lost: Sequence[int], which: str) -> str:
    shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
    return f"{which} column{'s' if len(lost) > 1 else ''} {shown}"


class _Graph:
    """The operations of the first subgraph of a file, and who reads and writes each tensor."""

    def __init__(self, content: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        self._graph = self._model.subgraphs[0]

    def inputs(self, count: int) -> list[int]:
        """The tensors of the inputs, in the order of the model."""
        if count == 1:
            return [int(self._graph.inputs[0])]
        return [int(each.tensorIndex) for each in self._model.signatureDefs[0].inputs]

    def outputs(self, count: int) -> list[int]:
        """The tensors of the outputs, in the order of the model."""
        if count == 1:
            return [int(self._graph.outputs[0])]
        by_name = {each.name.decode(): int(each.tensorIndex) for each in self._model.signatureDefs[0].outputs}
        return [by_name[f"output_{place}"] for place in range(count)]

    def name(self, tensor: int) -> str:
        return str(self._graph.tensors[tensor].name.decode())

    def kind(self, operation: Any) -> str:
        return operation_name(self._model.operatorCodes[operation.opcodeIndex])

    def producer(self, tensor: int) -> Any | None:
        return next((each for each in self._graph.operators if tensor in each.outputs), None)

    def scaled_from(self, tensor: int) -> Iterator[int]:
        """The tensors behind an input that only constants were added to, or multiplied with."""
        while True:
            readers = [each for each in self._graph.operators if tensor in each.inputs]
            if len(readers) != 1 or self.kind(readers[0]) not in _WITH_CONSTANT:
                return
            others = [each for each in readers[0].inputs if each != tensor]
            if len(others) != 1 or not self._is_constant(others[0]):
                return
            tensor = int(readers[0].outputs[0])
            yield tensor

    def back_from(self, tensor: int) -> Iterator[int]:
        """The output, the tensors that it is reshaped or scaled from, and the result of the operation before those."""
        yield tensor
        producer = self.producer(tensor)
        while producer is not None and self.kind(producer) in (*_PASSING, *_WITH_CONSTANT):
            variable = [each for each in producer.inputs if each >= 0 and not self._is_constant(each)]
            scaled = self.kind(producer) in _WITH_CONSTANT
            if len(variable) != 1 or scaled:
                return
            yield int(variable[0])
            producer = self.producer(int(variable[0]))

    def _is_constant(self, tensor: int) -> bool:
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0
