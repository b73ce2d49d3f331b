"""Numbers about predictions, in plain NumPy: score with interval, agreement, skill."""

import math

import numpy as np

from engine.arrays import Array
from jobspec.report import Interval
from jobspec.spec import Metric

Z95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""


def score(metric: Metric, truths: Array, predictions: Array) -> Interval:
    """The metric over samples with its 95 % interval: Wilson's for accuracy, normal for errors.

    Args:
        truths, predictions: shape (n,) of classes, or (n, units) of values.

    >>> score("accuracy", np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0])).value
    0.75

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if metric == "accuracy":
        return wilson(int((truths == predictions).sum()), len(truths))
    error = (truths - predictions).astype(np.float64)
    per_sample = (np.abs(error) if metric == "mean_absolute_error" else error**2).mean(axis=1)
    mean = float(per_sample.mean())
    margin = Z95 * float(per_sample.std()) / math.sqrt(len(per_sample))
    return Interval(value=mean, low=mean - margin, high=mean + margin)


def wilson(successes: int, trials: int) -> Interval:
    """Share of successes with Wilson's 95 % interval.

    >>> interval = wilson(9, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.596, 0.982)
    """
    share = successes / trials
    spread = Z95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    margin = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Interval(value=share, low=max(0.0, centre - margin), high=min(1.0, centre + margin))


def agreement(original: Array, other: Array) -> float:
    """How alike two models predict: share of equal classes, or for values the coefficient of determination.

    >>> agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0]))
    0.75
    """
    if original.ndim == 1:
        return float((original == other).mean())
    return determination(original, other)


def skill(truths: Array, predictions: Array) -> float:
    """How much better than guessing: 0 is chance, 1 is perfect, whatever the balance of the classes.

    Classes: Cohen's kappa, so that always naming the most frequent class has no skill. Values: the
    coefficient of determination, so that always naming the mean has none.

    >>> skill(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.0

    Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    if truths.ndim > 1:
        return determination(truths, predictions)
    classes = np.union1d(truths, predictions)
    by_chance = sum(float((truths == c).mean() * (predictions == c).mean()) for c in classes)
    observed = float((truths == predictions).mean())
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else float(observed == 1)


def determination(truths: Array, predictions: Array) -> float:
    """Share of the variance of ``truths`` that ``predictions`` explain; 1 at best, without lower bound."""
    residual = float(((truths - predictions).astype(np.float64) ** 2).sum())
    total = float(((truths - truths.mean(axis=0)).astype(np.float64) ** 2).sum())
    return 1 - residual / total if total else float(residual == 0)
