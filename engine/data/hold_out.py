"""Which samples of a training split are set aside for validation: a seeded share, but never the last of a class.

A class that training has not seen is lost, and the job would be to blame. So of each class one sample stays, the one
that would be set aside last; where no class is that rare, the draw is what it would be without the rule.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.parts import Outputs, arrays_of
from secateur.reports.summaries import LabelKind

PIECE_ROWS: Final = 4096
"""Rows of labels that are looked at in one go."""


def hold_out(y: Outputs, kinds: Mapping[str, LabelKind], *, share: float, seed: int) -> Array:
    """Places of the samples that are set aside, in order.

    Args:
        y: encoded labels, at least one; or those by output.
        kinds: what they are, by output; those of a bare array under an empty name.
        share: of all samples; at least one is set aside, and at most all but one.

    Returns:
        Places, shape (held,), int64. Fewer than the share where the rest are the last of their classes, even none.

    >>> hold_out(np.array([0, 0, 0, 1]), {"": "classes"}, share=0.9, seed=0)
    array([0, 2])
    """
    order = np.random.default_rng(seed).permutation(len(y))
    count = min(len(y) - 1, max(1, round(len(y) * share)))
    names = y.names if not isinstance(y, np.ndarray) else ("",)
    stays = np.zeros(len(y), bool)
    for name, labels in zip(names, arrays_of(y), strict=True):
        for place in LAST[kinds[name]](labels, order):
            stays[place] = True
    return np.sort(order[~stays[order]][:count])


def _last_of_classes(y: Array, order: Array) -> Iterator[int]:
    """For each class the place of its sample that comes last in an order.

    >>> [int(place) for place in _last_of_classes(np.array([5, 7, 5]), np.array([2, 1, 0]))]
    [0, 1]
    """
    backwards = order[::-1]
    yield from backwards[np.unique(y[backwards], return_index=True)[1]]


def _last_of_labels(y: Array, order: Array) -> Iterator[int]:
    """For each column the places of the samples that come last in an order with this label, and without it."""
    backwards = order[::-1]
    wanted = {True: np.ones(y.shape[1], bool), False: np.ones(y.shape[1], bool)}
    for start in range(0, len(y), PIECE_ROWS):
        places = backwards[start : start + PIECE_ROWS]
        given = y[places] > 0
        for with_it, missing in wanted.items():
            found = missing & (given == with_it).any(axis=0)
            yield from places[(given == with_it)[:, found].argmax(axis=0)]
            missing &= ~found
        if not any(missing.any() for missing in wanted.values()):
            return


LAST: Final[Mapping[LabelKind, Callable[[Array, Array], Iterator[int]]]] = {
    "classes": _last_of_classes,
    "one_hot": _last_of_labels,
    "multi_label": _last_of_labels,
    "values": lambda y, order: iter(()),
}
