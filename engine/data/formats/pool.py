"""Samples that lie in one file without splits: divided by what a column says, or by seeded shares."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.data.rows import Samples
from engine.data.split import Split
from secateur.errors import DatasetSplitEmpty
from secateur.reports.summaries import SplitName
from secateur.specs.reading import Reading

SPLITS: Final[Mapping[str, SplitName]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the splits, in small letters."""


def divide(x: Samples, y: Array, *, splits: Array | None, reading: Reading) -> dict[SplitName, Split]:
    """The splits of samples that lie together.

    Args:
        y: encoded labels.
        splits: for each sample the name of its split, shape (n,); None: shares are drawn.

    Raises:
        DatasetSplitEmpty: no sample to train on, or none to judge by: neither for testing nor for validation.
    """
    whole = Split(x, y)
    places = draw(y, reading) if splits is None else _named(splits)
    judges = sum(len(places.get(name, ())) for name in ("test", "validation"))
    for name, count in (("train", len(places["train"])), ("test", judges)):
        if count == 0:
            raise DatasetSplitEmpty(
                f"The {name} split has no samples: there are {len(whole)} in all, "
                f"{', '.join(f'{len(found)} for {split}' for split, found in places.items())}.",
                suggestions=[
                    "Give the file more samples."
                    if splits is None
                    else f"Put samples into the split {name!r}" + (", or into val." if name == "test" else "."),
                    "Change test_share." if splits is None else "Leave the splits out of the file: shares are drawn.",
                ],
            )
    return {name: whole.take(found) for name, found in places.items() if len(found)}


def _named(splits: Array) -> dict[SplitName, Array]:
    return {name: np.flatnonzero(splits == name) for name in ("train", "validation", "test")}


def draw(y: Array, reading: Reading) -> dict[SplitName, Array]:
    """Places of the splits, drawn by the seed and class by class, so that each has its share of every class.

    >>> draw(np.array([0, 0, 0, 0, 1, 1, 1, 1]), Reading(test_share=0.25))["test"]
    array([2, 7])
    """
    rng = np.random.default_rng(reading.seed)
    groups = [np.flatnonzero(y == label) for label in np.unique(y)] if y.ndim == 1 else [np.arange(len(y))]
    parts: dict[SplitName, list[Array]] = {"train": [], "validation": [], "test": []}
    for group in groups:
        order = rng.permutation(group)
        num_test = _count(reading.test_share, len(order))
        num_held = _count(reading.validation_share or 0.0, len(order) - num_test)
        parts["test"].append(order[:num_test])
        parts["validation"].append(order[num_test : num_test + num_held])
        parts["train"].append(order[num_test + num_held :])
    return {name: np.sort(np.concatenate(found)) for name, found in parts.items()}


def _count(share: float, available: int) -> int:
    """A share of so many, one at least, but never the last."""
    return min(available - 1, max(1, round(share * available))) if share else 0
