"""Cut a network and repair it without labels or training: layer by layer, each solved again towards the dense one.

For each layer in the order of the graph: its inputs come from the network as cut so far, its targets from the dense
network on the dense inputs, before the activation. Convolutions are the same on sampled patches. The output
layers, which are never cut, are solved again too, on all their weights.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from engine.arrays import Array
from engine.mask import keep_largest
from engine.masking import Masks
from engine.prunable import kernel_of, output_layers
from engine.solve import NormalEquations, cut_and_solve

MAX_ROWS = 20_000
"""Positions that a layer is solved on, over all samples; more change little."""

MAX_INPUTS = 6_000
"""Inputs of a unit up to which a layer is solved: the normal equations take eight bytes for each pair of them."""


@dataclass(frozen=True)
class Samples:
    """Unlabelled model inputs, in batches that can be read again and again."""

    batches: Callable[[], Iterable[Array]]
    count: int
    seed: int


def reconstruct(model: Any, dense: Any, masks: Masks, sparsity: Mapping[str, float], samples: Samples) -> list[str]:
    """Cut kernels of ``model`` to their sparsity and solve them, and the output layers, towards ``dense``.

    Args:
        dense: a copy of the model from before the cut.
        sparsity: for each kernel that is to be cut.

    Returns:
        The names of the layers that were solved. The others were only cut, by magnitude.
    """
    outputs, solved = output_layers(model), []
    for layer in model.layers:
        if layer.name not in sparsity and id(layer) not in outputs:
            continue
        if why_not(layer, model) is not None:
            continue
        _solve(layer, model, dense, masks, sparsity.get(layer.name, 0.0), samples)
        solved.append(layer.name)
    for name in sparsity:
        if name not in solved:
            mask = keep_largest(np.abs(masks.weights(name)), sparsity[name], within=masks.mask(name))
            masks.set(name, masks.weights(name) * mask)
    return solved


def calls(layer: Any, model: Any) -> list[Any]:
    """The nodes of the model's graph at which a layer is called; it may have others, of graphs it was in before."""
    graph = getattr(model, "_functional", None) or model
    inside = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    return [node for node in layer._inbound_nodes if id(node) in inside]


def why_not(layer: Any, model: Any) -> str | None:
    """Why a layer cannot be solved again, or None when it can."""
    if len(calls(layer, model)) != 1:
        return "it is called more than once"
    if kernel_of(layer) is None or not isinstance(
        layer, (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
    ):
        return f"{type(layer).__name__} cannot be solved again yet"
    if isinstance(layer, keras.layers.Dense):
        return None if layer.kernel.shape[0] <= MAX_INPUTS else "it has too many inputs"
    if layer.groups != 1 or layer.data_format != "channels_last" or layer.padding == "causal":
        return "it is grouped, causal or has its channels first"
    return None if np.prod(layer.kernel.shape[:-1]) <= MAX_INPUTS else "it has too many inputs"


def _solve(layer: Any, model: Any, dense: Any, masks: Masks, sparsity: float, samples: Samples) -> None:
    twin = dense.get_layer(layer.name)
    kernel = np.asarray(keras.ops.convert_to_numpy(twin.kernel), dtype=np.float64)
    flat = kernel.reshape(-1, kernel.shape[-1])
    equations = _equations(layer, twin, model, dense, flat, samples)
    weights = np.concatenate([flat, np.zeros((1, flat.shape[1]))]) if layer.use_bias else flat
    prunable = np.arange(len(weights)) < len(flat)
    within = np.ones_like(weights, dtype=np.bool_)
    if layer.name in masks.names:
        within[: len(flat)] = masks.mask(layer.name).reshape(flat.shape)
    weights = cut_and_solve(equations, weights, sparsity, within=within, prunable=prunable)
    found = weights[: len(flat)].reshape(kernel.shape).astype(np.float32)
    if layer.name in masks.names:
        masks.set(layer.name, found)
    else:
        layer.kernel.assign(found)
    if layer.use_bias:
        layer.bias.assign(twin.bias + weights[len(flat)].astype(np.float32))


def _equations(layer: Any, twin: Any, model: Any, dense: Any, flat: Array, samples: Samples) -> NormalEquations:
    """Normal equations of a layer: its inputs in the cut network against what the dense one makes of its own."""
    now, then = _up_to(layer, model), _up_to(twin, dense)
    equations = NormalEquations.empty(len(flat) + layer.use_bias, flat.shape[1])
    rng = np.random.default_rng(samples.seed)
    for batch in samples.batches():
        inputs, originally = rows(layer, now(batch, training=False)), rows(twin, then(batch, training=False))
        share = min(1.0, MAX_ROWS * len(batch) / samples.count / len(inputs))
        picked = np.flatnonzero(rng.random(len(inputs)) < share) if share < 1 else slice(None)
        inputs, targets = inputs[picked], originally[picked].astype(np.float64) @ flat
        if layer.use_bias:
            inputs = np.concatenate([inputs, np.ones((len(inputs), 1), inputs.dtype)], axis=1)
        equations.add(inputs.astype(np.float64), targets)
    return equations


def _up_to(layer: Any, model: Any) -> Any:
    """The part of a model that computes the input of a layer."""
    (call,) = calls(layer, model)
    return keras.Model(model.inputs[0], call.input_tensors[0])


def rows(layer: Any, activation: Any) -> Array:
    """What a layer multiplies its kernel with: a row for each position, a column for each row of the flat kernel."""
    if isinstance(layer, keras.layers.Dense):
        return np.asarray(keras.ops.convert_to_numpy(activation)).reshape(-1, activation.shape[-1])
    flat_1d = isinstance(layer, keras.layers.Conv1D)
    image = activation[:, None] if flat_1d else activation
    size, strides, rates = (
        (1, *values) if flat_1d else values for values in (layer.kernel_size, layer.strides, layer.dilation_rate)
    )
    patches = tf.image.extract_patches(
        image, [1, *size, 1], [1, *strides, 1], [1, *rates, 1], padding=layer.padding.upper()
    )
    return np.asarray(patches).reshape(-1, patches.shape[-1])
