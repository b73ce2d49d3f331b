"""How much each channel of a group matters: the criteria of weights and units, over all slices that would go.

A score for each channel of each group; higher means keep, and none is negative. What optimal brain surgeon says is in
``engine.structured.obs``.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from engine.arrays import Array
from engine.parts import Inputs, Outputs, as_model_input
from engine.pruning.criterion import bn_scale, fpgm, l1_norm, l2_norm, taylor_of_units
from engine.pruning.observe import Batch
from engine.structured.coupling import Dim, Role
from engine.structured.groups import Channels, Group
from secateur.specs.channels import ChannelCriterion

Score = Callable[[Array], Array]
"""From a matrix (elements, channels) to a score a channel."""


def by_weights(channels: Channels, group: Group, criterion: ChannelCriterion, *, seed: int) -> Array:
    """Scores of a group's channels from the weights alone, shape (channels,).

    Each slice counts relative to its layer's mean, so that layers of large weights do not decide alone.
    """
    if criterion == "random":
        return np.random.default_rng(seed + zlib.crc32(group.name.encode())).random(len(group.channels))
    score, roles = WEIGHTS[criterion]
    dims = channels.scales(group) if criterion == "bn_scale" else _kernels(channels, group, roles)
    if criterion == "magnitude":
        dims = [*dims, *channels.scales(group)]
    slices = [_gathered(channels, group, dim, score(_matrix(dim, _numpy(dim.variable)))) for dim in dims]
    relative = [each / (each.mean() or 1.0) for each in slices]
    return np.asarray(np.mean(relative or [np.ones(len(group.channels))], axis=0))


def taylor(
    channels: Channels, groups: Sequence[Group], loss: Any, batches: Callable[[], Iterable[Batch]]
) -> dict[str, Array]:
    """Squared first-order change of the loss without a channel: over the filters that make it, mean over batches.

    Molchanov et al. 2019 (arXiv:1906.10771), equation 8; what several layers of a group change adds up.
    """
    model = channels.trace.model
    dims = {group.name: _kernels(channels, group, ("makes",)) for group in groups}
    variables = {id(dim.variable): dim.variable for of_group in dims.values() for dim in of_group}
    totals = {group.name: np.zeros(len(group.channels)) for group in groups}
    for x, y in batches():
        gradients = dict(zip(variables, _gradients(model, list(variables.values()), loss, x, y), strict=True))
        for group in groups:
            for dim in dims[group.name]:
                weights, gradient = _matrix(dim, _numpy(dim.variable)), _matrix(dim, gradients[id(dim.variable)])
                totals[group.name] += _gathered(channels, group, dim, taylor_of_units(weights, gradient))
    return totals


def _gradients(model: Any, variables: Sequence[Any], loss: Any, x: Inputs, y: Outputs) -> list[Array]:
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        found = keras.ops.mean(loss(y, model(as_model_input(x), training=False)))
    gradients = tape.gradient(found, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in gradients]  # an embedding's has used rows only


def _kernels(channels: Channels, group: Group, roles: tuple[Role, ...]) -> list[Dim]:
    return [dim for dim in channels.members(group, *roles) if len(dim.variable.shape) > 1]


def _matrix(dim: Dim, values: Array) -> Array:
    """A variable as (all else, indices of the axis)."""
    return np.moveaxis(values, dim.axis, -1).reshape(-1, values.shape[dim.axis])


def _gathered(channels: Channels, group: Group, dim: Dim, scores: Array) -> Array:
    """From scores of indices of an axis to scores of channels, which may have several indices, or none."""
    along = channels.along(dim)
    total = np.bincount(along, weights=scores, minlength=channels.num_channels)
    return np.asarray(total[group.channels])


def _numpy(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable))


WEIGHTS: Final[Mapping[ChannelCriterion, tuple[Score, tuple[Role, ...]]]] = {
    "magnitude": (l2_norm, ("makes", "reads")),
    "l1_norm": (l1_norm, ("makes",)),
    "l2_norm": (l2_norm, ("makes",)),
    "fpgm": (fpgm, ("makes",)),
    "bn_scale": (lambda matrix: bn_scale(matrix[0]), ("along",)),
}
"""How a slice is scored, and which layers' slices count: those that make a channel, or those that read it too."""
