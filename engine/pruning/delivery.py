"""Check that the exported files have the zeros that the user requested, by counting them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.models.prunable import kernel_of, output_layers, places, reason_to_skip
from engine.pruning.masking import Masks
from secateur.errors import SparsityMissed
from secateur.reports.report import LayerSparsity

TOLERANCE = 0.001
"""A tenth of a percentage point."""


def zeros(array: Array) -> float:
    """Return the share of elements that are exactly zero.

    >>> zeros(np.array([0.0, 1.0, 0.0, 2.0]))
    0.5
    """
    return float(1.0 - np.count_nonzero(array) / array.size)


def nonzero_params(model: Any) -> int:
    """Count the weights of a model that are not exactly zero."""
    return sum(int(np.count_nonzero(keras.ops.convert_to_numpy(v))) for v in model.weights)


def drop_signs_of_zeros(model: Any) -> None:
    """Make every -0.0 of a model a 0.0, in place.

    A negative weight times a mask's 0 is -0.0, which computes the same. But to gzip, zeros with random signs are a bit
    of noise each: a third of the bytes of a network with 90 % zeros.
    """
    for variable in model.weights:
        values = keras.ops.convert_to_numpy(variable)
        if values.dtype.kind == "f" and np.signbit(values[values == 0]).any():
            variable.assign(values + values.dtype.type(0))  # IEEE 754: -0 + 0 is 0


def sparsity_in_file(masks: Masks, names: Iterable[str], constants: Sequence[tuple[str, Array]]) -> dict[str, float]:
    """Return the share of zeros of each named kernel in a ``.tflite`` file.

    The converter transposes, renames and merges tensors, so kernels are found by their number of weights and,
    among those, by the number of nonzero weights: a kernel's tensor can only have more zeros, never fewer.

    Raises:
        SparsityMissed: a kernel has no tensor that is sparse enough.
    """
    tensors = sorted((array for _, array in constants if array.ndim > 1), key=np.count_nonzero)
    found = {}
    used: set[int] = set()
    for name in sorted(names, key=lambda name: np.count_nonzero(masks.mask(name))):
        mask = masks.mask(name)
        fitting = [i for i, tensor in enumerate(tensors) if tensor.size == mask.size]
        if not fitting:
            raise SparsityMissed(f"The exported file has no tensor for the {mask.size} weights of layer {name!r}.")
        match = next((i for i in fitting if i not in used), fitting[0])  # equal kernels are stored once
        used.add(match)
        tensor = tensors[match]
        if zeros(tensor) < zeros(mask) - TOLERANCE:
            raise SparsityMissed(
                f"Layer {name!r} has {zeros(tensor):.2%} zeros in the exported file, its mask has {zeros(mask):.2%}."
            )
        found[name] = zeros(tensor)
    return found


def check_delivered(targets: Mapping[str, float], delivered: Mapping[str, float], groups: Mapping[str, int]) -> None:
    """Check that every kernel has the requested zeros, to a tenth of a percentage point or the nearest whole group.

    Args:
        targets: the requested sparsities.
        delivered: the sparsities in the file.
        groups: number of groups of each kernel that are pruned together; the last group is never pruned.

    Raises:
        SparsityMissed: naming the layer.
    """
    for name, target in targets.items():
        slack = max(TOLERANCE, 0.5 / groups[name])
        if delivered[name] < min(target - slack, 1.0 - 1.0 / groups[name]) - 1e-9:
            raise SparsityMissed(f"Layer {name!r} should have {target:.2%} zeros and has {delivered[name]:.2%}.")


def layer_table(model: Any, targets: Mapping[str, float], in_file: Mapping[str, float]) -> tuple[LayerSparsity, ...]:
    """Return one row for each layer with weights: its target, its sparsity in each file, why it was not pruned."""
    outputs = output_layers(model)
    rows = []
    for place in places(model):
        if not place.layer.weights:
            continue
        kernel = kernel_of(place.layer)
        pruned = targets.get(place.name, 0.0) > 0
        skipped = None if pruned else reason_to_skip(place.layer, outputs) or "the spec leaves it alone"
        rows.append(
            LayerSparsity(
                name=place.name,
                class_name=type(place.layer).__name__,
                kernel_shape=None if kernel is None else tuple(kernel.shape),
                num_weights=0 if kernel is None else int(np.prod(kernel.shape)),
                pruned=pruned,
                reason=skipped,
                target=targets.get(place.name) if pruned else None,
                keras_sparsity=0.0 if kernel is None else zeros(keras.ops.convert_to_numpy(kernel)),
                tflite_sparsity=in_file.get(place.name) if pruned else None,
            )
        )
    return tuple(rows)
