"""Do the labels number the classes as the model does? Seen in which class the model gives each label.

Class folders are numbered by the alphabet, and models by what their authors chose. A model whose classes stand in
another order still tells them apart: nearly every sample of a label goes to one class, and no two labels to the same.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.arrays import Array
from secateur.errors import ClassOrderMismatch, FieldError

GAIN: Final = 0.2
"""Accuracy that the other order must add before it is named."""

SHARE: Final = 0.5
"""Share of a label's samples that must go to one class."""

MIN_SAMPLES: Final = 5
"""Samples of each exchanged label that must have been looked at."""


def class_order(labels: Array, predicted: Array, num_classes: int) -> tuple[int, ...] | None:
    """The class of the model that each label means, if the labels are numbered in another order.

    Args:
        labels: classes of samples, shape (n,).
        predicted: what the model says of them, shape (n,).
        num_classes: outputs of the model.

    Returns:
        For each label the class of the model; None if the labels are in order, or if the model does not tell.

    >>> class_order(np.repeat([0, 1, 2], 5), np.repeat([0, 2, 1], 5), 3)
    (0, 2, 1)
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    there = counts.sum(axis=1)
    order = np.where(there > 0, counts.argmax(axis=1), np.arange(num_classes))
    moved = np.flatnonzero(order != np.arange(num_classes))
    if not len(moved) or len(set(order.tolist())) != num_classes:
        return None
    shares = counts[moved, order[moved]] / np.maximum(there[moved], 1)
    gain = (counts[np.arange(num_classes), order].sum() - counts.trace()) / max(1, len(labels))
    if there[moved].min() < MIN_SAMPLES or shares.min() < SHARE or gain < GAIN:
        return None
    return tuple(map(int, order))


def order_mismatch(order: Sequence[int], labels: Array, predicted: Array, names: Sequence[str]) -> ClassOrderMismatch:
    """The error for labels in another order than the model's.

    Args:
        order: from ``class_order``.
        labels: classes of samples, shape (n,).
        predicted: what the model says of them, shape (n,).
        names: of the classes of the data set, by label; may be empty.
    """
    now, then = float((labels == predicted).mean()), float((np.array(order)[labels] == predicted).mean())
    if len(names) == len(order):
        in_order = [names[order.index(place)] for place in range(len(order))]
        fix = f"Declare the classes of the data set in the order of the model: classes={','.join(in_order)}."
    else:
        moved = ", ".join(f"{label} to {place}" for label, place in enumerate(order) if label != place)
        fix = f"Renumber the labels in every split: {moved}."
    return ClassOrderMismatch(
        f"The model numbers the classes in another order than the data set: on {len(labels):,} held-out samples its "
        f"accuracy is {now:.3f}, and {then:.3f} with the labels in the order of the model.",
        errors=[FieldError(field="classes", messages=("are in another order than the model's outputs",))],
        suggestions=[fix, 'Set "on_chance_baseline": "continue" if the order is right.'],
    )


def unseen_classes(labels: Array, predicted: Array, names: Sequence[str]) -> list[str]:
    """Classes of which the model finds no sample, of those with ``MIN_SAMPLES`` or more.

    >>> unseen_classes(np.repeat([0, 1], 5), np.zeros(10, int), ["cat", "dog"])
    ['dog']
    """
    found = []
    for label in np.unique(labels):
        own = predicted[labels == label]
        if len(own) >= MIN_SAMPLES and not (own == label).any():
            found.append(names[label] if label < len(names) else str(label))
    return found
