"""The importance of each channel of a group: criteria of weights and units, over all slices that a channel has.

Each channel of each group has a score that is not negative; higher means keep. The optimal brain surgeon criterion is
in ``engine.structured.obs``.
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
"""From a matrix (elements, channels) to one score for each channel."""


def by_weights(channels: Channels, group: Group, criterion: ChannelCriterion, *, seed: int) -> Array:
    """Score a group's channels from the weights alone, shape (channels,).

    Each slice is divided by the mean of its layer, so that layers with large weights do not decide alone.
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
    """Score channels by the squared first-order change of the loss without them, as the mean over batches.

    The change is computed on the filters that produce a channel; changes in several layers of a group are added.
    Molchanov et al. 2019 (arXiv:1906.10771), equation 8.
    """
    model = channels.trace.model
    dims = {group.name: _kernels(channels, group, ("produces",)) for group in groups}
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
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in gradients]  # an embedding's are sparse


def _kernels(channels: Channels, group: Group, roles: tuple[Role, ...]) -> list[Dim]:
    return [dim for dim in channels.members(group, *roles) if len(dim.variable.shape) > 1]


def _matrix(dim: Dim, values: Array) -> Array:
    """Return a variable as a matrix (all other axes, indices of the axis)."""
    return np.moveaxis(values, dim.axis, -1).reshape(-1, values.shape[dim.axis])


def _gathered(channels: Channels, group: Group, dim: Dim, scores: Array) -> Array:
    """Sum scores of the indices of an axis into scores of channels; a channel may have several indices, or none."""
    along = channels.along(dim)
    total = np.bincount(along, weights=scores, minlength=channels.num_channels)
    return np.asarray(total[group.channels])


def _numpy(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable))


WEIGHTS: Final[Mapping[ChannelCriterion, tuple[Score, tuple[Role, ...]]]] = {
    "magnitude": (l2_norm, ("produces", "consumes")),
    "l1_norm": (l1_norm, ("produces",)),
    "l2_norm": (l2_norm, ("produces",)),
    "fpgm": (fpgm, ("produces",)),
    "bn_scale": (lambda matrix: bn_scale(matrix[0]), ("along",)),
}
"""How a slice is scored, and which slices count: only those of producers, or those of consumers too."""
