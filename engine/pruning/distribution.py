"""Distributions: how an overall sparsity is divided among layers. A new one is one function and one dict line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.arrays import Array
from secateur.reports.sensitivity import Curves
from secateur.specs.pruning import Distribution


@dataclass(frozen=True)
class Ranked:
    """The properties of a layer that a distribution uses."""

    scores: Array
    """Scores of groups of weights, any shape, not negative; higher means keep. Groups already pruned have 0."""
    group_size: int = 1
    """Weights of one group."""
    shape: tuple[int, ...] = ()
    """The shape of the kernel, as Keras stores it."""

    @property
    def num_weights(self) -> int:
        return self.scores.size * self.group_size


Layers = Mapping[str, Ranked]


def uniform(layers: Layers, sparsity: float, /) -> dict[str, float]:
    """Give every layer the same sparsity.

    >>> uniform({"a": Ranked(np.ones(4)), "b": Ranked(np.ones(2))}, 0.5)
    {'a': 0.5, 'b': 0.5}
    """
    return dict.fromkeys(layers, sparsity)


def global_(layers: Layers, sparsity: float, /) -> dict[str, float]:
    """Rank all groups together, after dividing each layer's scores by their Euclidean norm.

    Without the division a layer with small weights would be emptied regardless of its importance.

    Returns:
        For each layer the share of its weights to prune. Weighted by size, the shares average to ``sparsity``.

    >>> global_({"a": Ranked(np.array([1.0, 1.0])), "b": Ranked(np.array([9.0, 0.1, 0.1, 0.1]))}, 0.5)
    {'a': 0.0, 'b': 0.75}

    Lee et al., jaxpruner (arXiv:2304.14082), normalise the same way.
    """
    norms = {name: float(np.linalg.norm(layer.scores)) or 1.0 for name, layer in layers.items()}
    return _ranked_together(layers, {name: layer.scores / norms[name] for name, layer in layers.items()}, sparsity)


def lamp(layers: Layers, sparsity: float, /) -> dict[str, float]:
    """Rank all groups together by squared score, divided by the sum over groups of the layer with no lower score.

    The last group of a layer always scores 1, so no layer is emptied.

    >>> lamp({"a": Ranked(np.array([1.0, 1.0])), "b": Ranked(np.array([3.0, 2.0, 1.0, 1.0]))}, 0.5)
    {'a': 0.0, 'b': 0.75}

    Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning" (arXiv:2010.07611), equation 4.
    """
    return _ranked_together(layers, {name: _lamp_scores(layer.scores) for name, layer in layers.items()}, sparsity)


def _lamp_scores(scores: Array) -> Array:
    """Return w^2 divided by the sum of w'^2 over all w' at least as large.

    >>> _lamp_scores(np.array([1.0, 3.0, 2.0]))
    array([0.07142857, 1.        , 0.30769231])
    """
    squares = np.square(np.asarray(scores, dtype=np.float64)).ravel()
    order = np.argsort(squares, kind="stable")
    outlive = np.cumsum(squares[order][::-1])[::-1]
    found = np.empty_like(squares)
    found[order] = squares[order] / np.maximum(outlive, 1e-300)
    return found


def _ranked_together(layers: Layers, scores: Mapping[str, Array], sparsity: float) -> dict[str, float]:
    """Prune the lowest scores of all layers until the sparsity is reached; each layer keeps at least its best group."""
    flat = [np.array(scores[name], dtype=np.float64).ravel() for name in layers]
    for layer in flat:
        layer[np.argmax(layer)] = np.inf  # an empty layer would disconnect the network
    counts = [layer.size for layer in flat]
    owner = np.repeat(np.arange(len(counts)), counts)
    sizes = np.array([layer.group_size for layer in layers.values()])
    order = np.argsort(np.concatenate(flat), kind="stable")[: sum(counts) - len(counts)]
    weights_removed = np.cumsum(sizes[owner[order]])
    goal = sparsity * sum(layer.num_weights for layer in layers.values())
    num_removed = int(np.argmin(np.abs(np.concatenate([[0], weights_removed]) - goal)))
    removed = np.bincount(owner[order[:num_removed]], minlength=len(counts))
    return {name: int(n) / count for name, n, count in zip(layers, removed, counts, strict=True)}


def erk(layers: Layers, sparsity: float, /) -> dict[str, float]:
    """Keep a share of each layer proportional to the sum over the product of its axes, so that wide layers lose more.

    Layers whose share would exceed 1 stay dense, and the others are pruned more.

    >>> found = erk({"a": Ranked(np.ones(100), shape=(10, 10)), "b": Ranked(np.ones(10_000), shape=(100, 100))}, 0.95)
    >>> {name: round(sparsity, 4) for name, sparsity in found.items()}
    {'a': 0.5409, 'b': 0.9541}

    Evci et al. 2020, "Rigging the Lottery" (arXiv:1911.11134), section 3: Erdos-Renyi-Kernel.
    """
    sizes = {name: layer.num_weights for name, layer in layers.items()}
    raw = {name: sum(layer.shape) / np.prod(layer.shape) for name, layer in layers.items()}
    budget = (1 - sparsity) * sum(sizes.values())
    dense: set[str] = set()
    while True:
        open_ = [name for name in layers if name not in dense]
        left = budget - sum(sizes[name] for name in dense)
        scale = max(left, 0.0) / sum(raw[name] * sizes[name] for name in open_)
        over = {name for name in open_ if raw[name] * scale > 1}
        if not over or len(over) == len(open_):
            break
        dense |= over
    kept = {name: 1.0 if name in dense else min(1.0, float(raw[name]) * scale) for name in layers}
    return {name: float(1.0 - share) for name, share in kept.items()}


def by_sensitivity(curves: Curves) -> Callable[[Layers, float], dict[str, float]]:
    """Return a distribution that prunes every layer to the same measured loss: the loss that meets the sparsity.

    Losses between the measured sparsities are interpolated. A layer that improves when pruned counts as losing nothing.
    Past its last measurement a layer's loss rises to the loss of everything at sparsity 1.

    >>> curves = Curves(key="", metric="accuracy", higher_is_better=True, dense=0.9, sparsities=(0.5, 0.9),
    ...                 layers={"a": (0.9, 0.9), "b": (0.5, 0.1)}, num_samples=100)
    >>> found = by_sensitivity(curves)({"a": Ranked(np.ones(100)), "b": Ranked(np.ones(100))}, 0.5)
    >>> found["a"] > 0.85 and found["b"] < 0.15 and abs(found["a"] + found["b"] - 1) < 1e-6
    True
    """
    grid = np.array([0.0, *curves.sparsities, 1.0])
    losses = {name: _rising_losses(curves, name) for name in curves.layers}

    def distribute(layers: Layers, sparsity: float, /) -> dict[str, float]:
        sizes = np.array([layer.num_weights for layer in layers.values()], dtype=np.float64)

        def at(loss: float) -> Array:
            return np.array([np.interp(loss, losses[name], grid) for name in layers])

        low, high = 0.0, max(float(losses[name][-1]) for name in layers)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if at(middle) @ sizes < sparsity * sizes.sum() else (low, middle)
        return dict(zip(layers, map(float, at(high)), strict=True))

    return distribute


def _rising_losses(curves: Curves, name: str) -> Array:
    """Return a layer's loss at each sparsity of the grid with 0 and 1, made strictly rising to be invertible."""
    measured = np.array(curves.loss(name))
    worst = max(float(np.abs([curves.dense, *np.ravel(list(curves.layers.values()))]).max()), 1e-9)
    rising = np.maximum.accumulate(np.concatenate([[0.0], measured, [max(2 * worst, *measured)]]))
    return rising + 1e-6 * worst * np.linspace(0.0, 1.0, len(rising))


DISTRIBUTIONS: Final[Mapping[Distribution, Callable[[Layers, float], dict[str, float]]]] = {
    "uniform": uniform,
    "global": global_,
    "erk": erk,
    "lamp": lamp,
}
"""The distribution ``sensitivity`` is not here: ``by_sensitivity`` makes it from measurements."""
