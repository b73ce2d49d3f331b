"""Distributions: how an overall sparsity is shared out among layers."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from engine.arrays import Array
from jobspec.pruning import Distribution

Scores = Mapping[str, Array]


def uniform(scores: Scores, sparsity: float, /) -> dict[str, float]:
    """Every layer the same sparsity.

    >>> uniform({"a": np.ones(4), "b": np.ones(2)}, 0.5)
    {'a': 0.5, 'b': 0.5}
    """
    return dict.fromkeys(scores, sparsity)


def global_(scores: Scores, sparsity: float, /) -> dict[str, float]:
    """All weights ranked together, each layer's scores first divided by their Euclidean norm.

    Without the division a layer of small weights would be emptied whatever it does. Weights that were cut
    before must come in with score 0, so that they rank last and stay cut.

    Args:
        scores: per layer, one non-negative score per weight; higher means keep.
        sparsity: share of all weights together to cut.

    Returns:
        Per layer, the share of its weights to cut. The sizes weigh them back to ``sparsity``.

    >>> global_({"a": np.array([1.0, 1.0]), "b": np.array([9.0, 0.1, 0.1, 0.1])}, 0.5)
    {'a': 0.0, 'b': 0.75}

    Lee et al., jaxpruner (arXiv:2304.14082), normalise the same way.
    """
    flat = [np.ravel(layer) / (np.linalg.norm(layer) + 1e-12) for layer in scores.values()]
    for layer in flat:
        layer[np.argmax(layer)] = np.inf  # a layer with nothing left would cut the network in two
    sizes = [layer.size for layer in flat]
    num_cut = min(round(sum(sizes) * sparsity), sum(sizes) - len(sizes))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    cut = np.bincount(owner[np.argsort(np.concatenate(flat), kind="stable")[:num_cut]], minlength=len(sizes))
    return {name: int(n) / size for name, n, size in zip(scores, cut, sizes, strict=True)}


DISTRIBUTIONS: Final[Mapping[Distribution, Callable[[Scores, float], dict[str, float]]]] = {
    "uniform": uniform,
    "global": global_,
}
