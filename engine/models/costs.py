"""What a sample costs: the multiply-accumulates of every layer, as products of sizes of variable axes.

A kernel is used at so many places, and at each of them all its weights are multiplied once. So the cost of a
layer is ``times`` x the sizes of some axes, and the cost of any smaller model follows from how many indices each
axis keeps, without building it.

Counted are the products of dense layers, convolutions, recurrent cells and attention, as by tools that count
multiply-accumulates. Normalisation, activations, pooling, biases and all else that works element by element,
and Embedding, count 0; so does what Keras does not show as a graph, such as the inside of a custom layer.
"""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import keras

from engine.models.graph import Call, Graph, graph_of
from engine.models.prunable import DEPTHWISE, SEPARABLE, kernel_of, places

layers = keras.layers

Shape = tuple[int | None, ...]
"""Of a tensor, the axis of samples first; None where any size goes."""


@dataclass(frozen=True)
class Work:
    """One use of a kernel, or of two that are multiplied through their activations."""

    layer: Any
    """The operation that stands in the graph: a wrapper, not what is inside."""
    sizes: tuple[tuple[Any, int], ...]
    """Variables and axes, counted from 0; none where the cost does not follow from variables."""
    times: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates a sample, with all indices there."""
        return round(self.times * math.prod(int(variable.shape[axis]) for variable, axis in self.sizes))


def works_of(graph: Graph) -> tuple[Work, ...]:
    """Every use of a kernel, once a call, in the graph's order. Axes of unknown size count as 1."""
    shapes, found = known_shapes(graph), list[Work]()
    for call in graph.calls:
        args, kwargs = _arguments(call, shapes)
        given = inspect.signature(call.operation.call).bind(*args, **kwargs).arguments
        made = shapes[call.writes[0]] if call.writes else ()
        found += [replace(work, layer=call.operation) for work in _works(call.operation, given, made)]
    return tuple(found)


def known_shapes(graph: Graph) -> dict[int, Shape]:
    """Of every slot; inside nested models those that follow from where they are called, if that says more."""
    shapes = dict(graph.shapes)
    for call in graph.calls:
        _sharpen(call, shapes, *_arguments(call, shapes))
    return shapes


def macs_by_layer(model: Any) -> dict[str, int]:
    """Multiply-accumulates a sample of every place (``prunable.places``), all calls of a layer together.

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")])
    >>> macs_by_layer(model)  # 6 x 6 positions, 3 x 3 x 3 weights each for 4 filters
    {'conv': 3888, 'relu': 0}
    """
    spent: Counter[int] = Counter()
    for work in works_of(graph_of(model)):
        spent[id(work.layer)] += work.macs
    found: dict[int, str] = {}
    for place in places(model):
        found.setdefault(id(place.layer), place.name)
    return {name: spent[layer] for layer, name in found.items()}


def num_macs(model: Any) -> int:
    """Multiply-accumulates a sample of a whole model."""
    return sum(work.macs for work in works_of(graph_of(model)))


def _arguments(call: Call, shapes: Mapping[int, Shape]) -> tuple[Any, Any]:
    """The arguments of a call, with tensors of the shapes that are known of what it reads."""
    known: dict[int, Any] = {}
    for tensor in call.arguments.keras_tensors:
        shape = _sharper(shapes[call.reads[id(tensor)]], tuple(tensor.shape))
        known[id(tensor)] = keras.KerasTensor(shape, dtype=tensor.dtype)
    return call.arguments.fill_in(known)  # type: ignore[no-any-return]


def _sharpen(call: Call, shapes: dict[int, Shape], args: Any, kwargs: Any) -> None:
    """Take down what a call makes of its inputs, where those say more than the call in its nested model did."""
    given = [tensor.shape for tensor in keras.tree.flatten((args, kwargs)) if isinstance(tensor, keras.KerasTensor)]
    own = [tensor.shape for tensor in call.arguments.keras_tensors]
    if any(a[1:] != b[1:] for a, b in zip(given, own, strict=True)):
        made = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
        shapes.update(zip(call.writes, (tuple(tensor.shape) for tensor in made), strict=True))


def _sharper(outside: Shape, inside: Shape) -> Shape:
    """What is known of a nested model's tensor from where it is called, else from its own inputs.

    >>> _sharper((None, 8, None), (None, None, 3))
    (None, 8, 3)
    """
    if len(outside) != len(inside):  # Keras adds or drops an axis of one at a model's door
        return inside
    return tuple(there if there is not None else here for there, here in zip(outside, inside, strict=True))


def _count(sizes: Iterable[int | None]) -> int:
    """How many places; an axis of unknown size counts as 1."""
    return math.prod(size or 1 for size in sizes)


def _positions(layer: Any, shape: Shape) -> int:
    """Of a tensor of channels at positions, without samples and channels."""
    return _count(shape[2:] if layer.data_format == "channels_first" else shape[1:-1])


def _first(given: Mapping[str, Any]) -> Any:
    """The shape, or the list of tensors, that a call takes first."""
    value = next(iter(given.values()))
    return tuple(value.shape) if isinstance(value, keras.KerasTensor) else value


def _whole(layer: Any, variable: Any, times: float) -> Work:
    """Every weight of a kernel, so many times."""
    return Work(layer, tuple((variable, axis) for axis in range(len(variable.shape))), times)


def _dense(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    yield _whole(layer, kernel_of(layer), _count(_first(given)[1:-1]))


def _einsum_dense(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    yield _einsum(layer, _first(given))


def _einsum(layer: Any, shape: Shape) -> Work:
    """A kernel is used once for each index of the input's axes that are not the kernel's too."""
    inputs, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
    before, dots, after = inputs.partition("...")
    letters = before + "." * (len(shape) - len(before + after) if dots else 0) + after
    free = [size for letter, size in zip(letters[1:], shape[1:], strict=True) if letter not in kernel.replace(".", "")]
    return _whole(layer, kernel_of(layer), _count(free))


def _convolution(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    yield _whole(layer, layer.kernel, _positions(layer, made))


def _transposed(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    yield _whole(layer, layer.kernel, _positions(layer, _first(given)))


def _separable(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    for kernel in (layer.depthwise_kernel, layer.pointwise_kernel):
        yield _whole(layer, kernel, _positions(layer, made))


def _recurrent(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    steps = _count(_first(given)[1:2])
    for cell in getattr(layer.cell, "cells", (layer.cell,)):
        for kernel in (getattr(cell, "kernel", None), getattr(cell, "recurrent_kernel", None)):
            if kernel is not None:
                yield _whole(layer, kernel, steps)


def _recurrent_convolution(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    """Both kernels give a state of the same positions at each step."""
    state = made[:1] + made[2:] if layer.return_sequences else made
    times = _count(_first(given)[1:2]) * _positions(layer.cell, state)
    for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
        yield _whole(layer, kernel, times)


def _bidirectional(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    for half in (layer.forward_layer, layer.backward_layer):
        yield from _works(half, given, made)


def _time_distributed(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    shape = _first(given)
    inside = {"inputs": keras.KerasTensor(shape[:1] + shape[2:])}
    for work in _works(layer.layer, inside, made[:1] + made[2:]):
        yield replace(work, times=work.times * _count(shape[1:2]))


def _wrapped(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    yield from _works(layer.layer, given, made)


def _multi_head_attention(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    """Projections, and for each pair of a query and a key their product and the weighted value."""
    query, value = tuple(given["query"].shape), tuple(given["value"].shape)
    key = tuple(given["key"].shape) if given.get("key") is not None else value
    projections = [(layer._query_dense, query), (layer._key_dense, key), (layer._value_dense, value)]
    if getattr(layer, "_gate_dense", None) is not None:
        projections.append((layer._gate_dense, query))
    heads, values = layer._query_dense._kernel, layer._value_dense._kernel
    projections.append((layer._output_dense, (*query[:-1], heads.shape[1], values.shape[2])))
    for projection, shape in projections:
        yield _einsum(projection, shape)
    # grouped queries keep time on axis 1, and each query head is multiplied with a key, whichever it shares
    over = getattr(layer, "_attention_axes", None) or (1,)
    pairs = _count(query[1:-1]) * _count(value[axis] for axis in over)
    shared = isinstance(layer, layers.GroupQueryAttention)
    yield Work(layer, ((heads, 1), (heads, 2)), pairs)
    yield Work(layer, ((heads if shared else values, 1), (values, 2)), pairs)


def _attention(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    """No kernels: query times key, unless they are added, and weights times values."""
    query, value = (tuple(tensor.shape) for tensor in _first(given)[:2])
    pairs = _count((query[1], value[1]))
    added = isinstance(layer, layers.AdditiveAttention)
    yield Work(layer, (), pairs * (_count(value[2:]) + (0 if added else _count(query[2:]))))


def _dot(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    yield Work(layer, (), _count(made[1:]) * _count((tuple(_first(given)[0].shape)[axis],)))


def _works(layer: Any, given: Mapping[str, Any], made: Shape) -> Iterator[Work]:
    """What a call of one layer does.

    Args:
        given: the arguments of the call by name, tensors as ``KerasTensor``.
        made: the shape of its first output.
    """
    if isinstance(layer, keras.Model):  # only inside a wrapper: the graph has opened all others
        yield from works_of(graph_of(layer))
        return
    for kinds, rule in RULES:
        if isinstance(layer, kinds):
            yield from rule(layer, given, made)
            return


Rule = Callable[[Any, Mapping[str, Any], Shape], Iterator[Work]]

RULES: Final[tuple[tuple[Any, Rule], ...]] = (
    (layers.Dense, _dense),
    (layers.EinsumDense, _einsum_dense),
    ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    (SEPARABLE, _separable),
    ((layers.Conv1D, layers.Conv2D, layers.Conv3D, *DEPTHWISE), _convolution),
    ((layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D), _recurrent_convolution),
    (layers.RNN, _recurrent),
    (layers.Bidirectional, _bidirectional),
    (layers.TimeDistributed, _time_distributed),
    (layers.Wrapper, _wrapped),
    ((layers.MultiHeadAttention, layers.GroupQueryAttention), _multi_head_attention),
    ((layers.Attention, layers.AdditiveAttention), _attention),
    (layers.Dot, _dot),
)
"""By kinds of layers, the first that fits."""
