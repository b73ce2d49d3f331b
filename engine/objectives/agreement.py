"""How alike two models decide, and how much better than guessing one does."""

import numpy as np

from engine.arrays import Array


def agreement(original: Array, other: Array) -> float:
    """How alike two models decide: share of equal classes, or labels; for values the coefficient of determination.

    Args:
        original, other: classes, shape (n,); rows of zeros and ones, as whole numbers; rows of values, as floats.

    >>> agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0]))
    0.75
    """
    if original.dtype.kind != "f":
        return float((original == other).mean())
    return determination(original, other)


def skill(truths: Array, decided: Array) -> float:
    """How much better than guessing: 0 is chance, 1 is perfect, whatever the balance of the classes.

    Classes: Cohen's kappa, so that always naming the most frequent class has no skill. Labels: the same of each,
    averaged. Values: the coefficient of determination, so that always naming the mean has none.

    >>> skill(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.0
    >>> skill(np.array([[0, 1], [1, 1], [1, 0]]), np.array([[0, 1], [1, 1], [1, 1]]))
    0.5

    Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    if decided.dtype.kind == "f":
        return determination(truths, decided)
    if truths.ndim == 1:
        return _kappa(truths, decided)
    varying = [label for label in range(truths.shape[1]) if len(np.unique(truths[:, label])) > 1]
    columns = varying or range(truths.shape[1])
    return float(np.mean([_kappa(truths[:, label], decided[:, label]) for label in columns]))


def _kappa(truths: Array, decided: Array) -> float:
    classes = np.union1d(truths, decided)
    by_chance = sum(float((truths == c).mean() * (decided == c).mean()) for c in classes)
    observed = float((truths == decided).mean())
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else float(observed == 1)


def determination(truths: Array, predictions: Array) -> float:
    """Share of the variance of ``truths`` that ``predictions`` explain; 1 at best, without lower bound."""
    residual = float(((truths - predictions).astype(np.float64) ** 2).sum())
    total = float(((truths - truths.mean(axis=0)).astype(np.float64) ** 2).sum())
    return 1 - residual / total if total else float(residual == 0)
