"""Re-estimate BatchNorm statistics after weights were cut: the averages of training describe the uncut network.

Two changes against simply running batches in training mode: the averages are exact means over the batches instead of
exponential ones, so that a momentum of 0.999 does not keep what was, and only they change, no weight does.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from engine.arrays import Array
from engine.prunable import places

MAX_BATCHES = 60


def batchnorm_layers(model: Any) -> list[Any]:
    """The layers with moving statistics, nested models opened."""
    return [place.layer for place in places(model) if isinstance(place.layer, keras.layers.BatchNormalization)]


def reestimate(model: Any, batches: Iterable[Array]) -> int:
    """Set moving means and variances to their means over batches of inputs. Returns how many layers have them.

    Layers later in the network see the batch statistics of earlier ones, as in training.

    Sun et al. 2020, "EagleEye" (arXiv:2007.02491), shows what it is worth: pruned accuracy before any fine-tuning.
    """
    layers = batchnorm_layers(model)
    if not layers:
        return 0
    momenta = [layer.momentum for layer in layers]
    frozen = [layer.trainable for layer in layers]
    try:
        for layer in layers:
            layer.trainable = True  # a frozen one would run in inference mode and keep its statistics
        for seen, batch in enumerate(batches):
            for layer in layers:
                layer.momentum = seen / (seen + 1)
            model(batch, training=True)
    finally:
        for layer, momentum, trainable in zip(layers, momenta, frozen, strict=True):
            layer.momentum, layer.trainable = momentum, trainable
    return len(layers)


def reestimate_if_better(model: Any, batches: Iterable[Array], *, judge: Callable[[], float]) -> bool:
    """Re-estimate, and put the old statistics back when the model is judged worse with the new ones.

    Args:
        judge: how good the model is as it stands; higher is better. Called before and after.
    """
    layers = batchnorm_layers(model)
    if not layers:
        return False
    before, old = judge(), [layer.get_weights() for layer in layers]
    reestimate(model, batches)
    if judge() >= before:
        return True
    for layer, weights in zip(layers, old, strict=True):
        layer.set_weights(weights)
    return False
