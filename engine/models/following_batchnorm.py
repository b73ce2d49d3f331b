"""The BatchNorm that follows a layer, and whether it scales the units of that layer."""

from typing import Any

import keras

from engine.models.graph import Graph


def batchnorm_behind(layer: Any, graph: Graph) -> Any | None:
    """The BatchNorm that alone reads what a layer gives, and reads nothing else; None when there is none."""
    calls = graph.calls_of(layer)
    if len(calls) != 1 or len(graph.calls[calls[0]].writes) != 1:
        return None
    (slot,) = graph.calls[calls[0]].writes
    readers = [call.operation for call in graph.readers(slot)]
    if slot in graph.outputs or len(readers) != 1 or not isinstance(readers[0], keras.layers.BatchNormalization):
        return None
    return readers[0] if len(graph.calls_of(readers[0])) == 1 else None


def is_per_unit(norm: Any, layer: Any, num_units: int) -> bool:
    """Whether a BatchNorm behind a layer has one mean for each of its units, not for something else."""
    axis = 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else norm.input_spec.ndim - 1
    return bool(norm.axis % norm.input_spec.ndim == axis and tuple(norm.moving_mean.shape) == (num_units,))


def scales_units(norm: Any, layer: Any, num_units: int) -> bool:
    """The same of its scales, if it has any."""
    return bool(norm.scale) and is_per_unit(norm, layer, num_units)
