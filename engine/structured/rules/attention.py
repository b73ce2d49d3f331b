"""Rules of attention: heads go, widths stay."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.structured.coupling import POSITION, Axes, Axis, Book, Labels
from engine.structured.rules.site import Rule, Site, freeze_all

PROJECTIONS: Final = ("_query_dense", "_key_dense", "_value_dense", "_gate_dense")


def attention(site: Site, book: Book) -> list[Axes]:
    """A head has a slice of every projection, and rows of the kernel that sums all heads up."""
    layer = site.operation
    query, value = site.argument(0, "query"), site.argument(1, "value")
    key = site.argument(2, "key")
    inputs = dict(zip(PROJECTIONS, (query, value if key is None else key, value, query), strict=True))
    if any(id(tensor) not in site.tensors for tensor in inputs.values()):
        site.freeze(book, reason := f"{layer.name} attends to numbers of nobody's")
        return [(reason,) * len(shape) for shape in site.out_shapes]
    heads = book.dim(layer, layer._query_dense.kernel, 1, "makes", unit="heads")
    for name, tensor in inputs.items():
        if (projection := getattr(layer, name, None)) is not None:
            _project(layer, projection, site.axes_of(tensor), heads, book)
    book.resize(layer, ("num_heads",), heads)
    _see_masks(site, heads, book, {id(tensor) for tensor in inputs.values()})
    for axes in site.given:
        freeze_all(book, axes[:-1], f"{layer.name} takes an axis of channels for one of positions")
    made: Axes = tuple(axis if isinstance(axis, str) else POSITION for axis in site.axes_of(query)[:-1])
    outputs = [(*made, *_output(layer, site.axes_of(query)[-1], heads, book))]
    if len(site.out_shapes) > 1:
        book.freeze(heads, f"{layer.name} gives out the scores of its heads")
        outputs.append((POSITION,) * len(site.out_shapes[1]))
    return outputs


def _project(layer: Any, projection: Any, given: Axes, heads: Labels, book: Book) -> None:
    """Kernel (features, heads, width), bias (heads, width)."""
    book.join(book.dim(layer, projection.kernel, 0, "reads"), given[-1])
    book.join(book.dim(layer, projection.kernel, 1, "makes", unit="heads"), heads)
    if projection.bias is not None:
        book.join(book.dim(layer, projection.bias, 0, unit="heads"), heads)


def _output(layer: Any, features: Axis, heads: Labels, book: Book) -> list[Axis]:
    """Kernel (heads, width, features); as many features as the query has, if the config does not say."""
    projection = layer._output_dense
    book.join(book.dim(layer, projection.kernel, 0, "reads", unit="heads"), heads)
    made: list[Axis] = []
    for place in range(2, len(projection.kernel.shape)):
        axis: Axis = book.dim(layer, projection.kernel, place, "makes")
        if projection.bias is not None:
            book.join(book.dim(layer, projection.bias, place - 2), axis)
        if layer._output_shape:
            book.resize(layer, ("output_shape", place - 2), axis)
        else:
            axis = book.join(axis, features)
        made.append(axis)
    return made


def _see_masks(site: Site, heads: Labels, book: Book, inputs: set[int]) -> None:
    """A mask may be of positions, or of each head by itself."""
    masks = [shape for tensor, shape in zip(site.tensors, site.shapes, strict=True) if tensor not in inputs]
    for shape in (*masks, *map(np.shape, site.constants)):
        if len(shape) > 3 and shape[1] != 1:
            book.freeze(heads, f"{site.operation.name} takes a mask for each of its heads")
    for tensor, axes in zip(site.tensors, site.given, strict=True):
        if tensor not in inputs:
            freeze_all(book, axes, f"{site.operation.name} takes a mask")


RULES: Final[Mapping[str, Rule]] = {"MultiHeadAttention": attention}
