"""Rules of attention: heads can be removed, the width of a head is fixed."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.structured.coupling import POSITION, Axes, Axis, AxisLabels, CouplingBuilder
from engine.structured.rules.site import Rule, Site, freeze_all

PROJECTIONS: Final = ("_query_dense", "_key_dense", "_value_dense", "_gate_dense")


def attention(site: Site, coupling: CouplingBuilder) -> list[Axes]:
    """Couple each head's slices of all projections with its rows of the output kernel."""
    layer = site.operation
    query, value = site.argument(0, "query"), site.argument(1, "value")
    key = site.argument(2, "key")
    inputs = dict(zip(PROJECTIONS, (query, value if key is None else key, value, query), strict=True))
    if any(id(tensor) not in site.tensors for tensor in inputs.values()):
        site.freeze(coupling, reason := f"{layer.name} attends to arrays that no layer produces")
        return [(reason,) * len(shape) for shape in site.out_shapes]
    heads = coupling.dim(layer, layer._query_dense.kernel, 1, "produces", unit="heads")
    for name, tensor in inputs.items():
        if (projection := getattr(layer, name, None)) is not None:
            _project(layer, projection, site.axes_of(tensor), heads, coupling)
    coupling.resize(layer, ("num_heads",), heads)
    _freeze_masks(site, heads, coupling, {id(tensor) for tensor in inputs.values()})
    for axes in site.given:
        freeze_all(coupling, axes[:-1], f"{layer.name} takes an axis of channels for one of positions")
    made: Axes = tuple(axis if isinstance(axis, str) else POSITION for axis in site.axes_of(query)[:-1])
    outputs = [(*made, *_output(layer, site.axes_of(query)[-1], heads, coupling))]
    if len(site.out_shapes) > 1:
        coupling.freeze(heads, f"{layer.name} returns the scores of its heads")
        outputs.append((POSITION,) * len(site.out_shapes[1]))
    return outputs


def _project(layer: Any, projection: Any, given: Axes, heads: AxisLabels, coupling: CouplingBuilder) -> None:
    """Couple a projection with its input and with the heads: kernel (features, heads, width), bias (heads, width)."""
    coupling.join(coupling.dim(layer, projection.kernel, 0, "consumes"), given[-1])
    coupling.join(coupling.dim(layer, projection.kernel, 1, "produces", unit="heads"), heads)
    if projection.bias is not None:
        coupling.join(coupling.dim(layer, projection.bias, 0, unit="heads"), heads)


def _output(layer: Any, features: Axis, heads: AxisLabels, coupling: CouplingBuilder) -> list[Axis]:
    """Couple the output kernel (heads, width, features). Without an output shape, the query has the same features."""
    projection = layer._output_dense
    coupling.join(coupling.dim(layer, projection.kernel, 0, "consumes", unit="heads"), heads)
    made: list[Axis] = []
    for place in range(2, len(projection.kernel.shape)):
        axis: Axis = coupling.dim(layer, projection.kernel, place, "produces")
        if projection.bias is not None:
            coupling.join(coupling.dim(layer, projection.bias, place - 2), axis)
        if layer._output_shape:
            coupling.resize(layer, ("output_shape", place - 2), axis)
        else:
            axis = coupling.join(axis, features)
        made.append(axis)
    return made


def _freeze_masks(site: Site, heads: AxisLabels, coupling: CouplingBuilder, inputs: set[int]) -> None:
    """Freeze masks, and the heads where each head has a mask of its own."""
    masks = [shape for tensor, shape in zip(site.tensors, site.shapes, strict=True) if tensor not in inputs]
    for shape in (*masks, *map(np.shape, site.constants)):
        if len(shape) > 3 and shape[1] != 1:
            coupling.freeze(heads, f"{site.operation.name} takes a mask for each of its heads")
    for tensor, axes in zip(site.tensors, site.given, strict=True):
        if tensor not in inputs:
            freeze_all(coupling, axes, f"{site.operation.name} takes a mask")


RULES: Final[Mapping[str, Rule]] = {"MultiHeadAttention": attention}
