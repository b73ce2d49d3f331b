"""Numbers about predictions, in plain NumPy: score with interval, agreement, skill.

``truths`` are classes of shape (n,), rows of zeros and ones, or rows of values; ``outputs`` are what a model said,
shape (n, units); ``decided`` is what that amounts to, in the form of the truths.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from engine.arrays import Array
from secateur.reports.report import Interval
from secateur.specs.metrics import Metric

Z95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""

RESAMPLES: Final = 400
"""Of a bootstrap; the seed is fixed, so that equal predictions have equal intervals."""

TOP: Final = 5

Weighted = Callable[[Array], float]
"""A statistic as a function of how often each sample counts, shape (n,)."""


def score(metric: Metric, truths: Array, decided: Array, outputs: Array) -> Interval:
    """The metric over samples with its 95 % interval.

    Wilson's for shares of samples, normal for means of errors, percentiles of a seeded bootstrap for all else.

    >>> classes = np.array([0, 1, 2, 2])
    >>> score("accuracy", classes, np.array([0, 1, 2, 0]), np.eye(3)[[0, 1, 2, 0]]).value
    0.75

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".
    """
    if metric in HITS:
        hits = HITS[metric](truths, decided, outputs)
        if hits.ndim > 1:  # positions of a sample are not independent; samples are
            return _mean(hits.mean(axis=1))
        return wilson(int(hits.sum()), len(hits))
    if metric in MEANS:
        return _mean(MEANS[metric](truths, decided, outputs))
    if metric == "root_mean_squared_error":
        squared = _mean(MEANS["mean_squared_error"](truths, decided, outputs))
        low, value, high = (math.sqrt(max(0.0, end)) for end in (squared.low, squared.value, squared.high))
        return Interval(value=value, low=low, high=high)
    return bootstrap(WHOLE[metric](truths, decided, outputs), len(truths))


def value(metric: Metric, truths: Array, decided: Array, outputs: Array) -> float:
    """The metric alone.

    >>> value("f1", np.array([0, 1, 1]), np.array([0, 1, 0]), np.zeros((3, 2)))
    0.6666666666666666
    """
    if metric in WHOLE:
        return WHOLE[metric](truths, decided, outputs)(np.ones(len(truths)))
    return score(metric, truths, decided, outputs).value


def _top(truths: Array, decided: Array, outputs: Array) -> Array:
    own = np.take_along_axis(outputs, truths[:, None], axis=1)
    return np.asarray((outputs > own).sum(axis=1) < TOP)


HITS: Final[Mapping[Metric, Callable[[Array, Array, Array], Array]]] = {
    "accuracy": lambda truths, decided, outputs: truths == decided,
    "top_5_accuracy": _top,
    "exact_match": lambda truths, decided, outputs: (truths == decided).all(axis=1),
}
"""Metrics that are shares of samples: whether each is a hit."""

MEANS: Final[Mapping[Metric, Callable[[Array, Array, Array], Array]]] = {
    "label_accuracy": lambda truths, decided, outputs: (truths == decided).mean(axis=1),
    "mean_squared_error": lambda truths, decided, outputs: _errors(truths, outputs, np.square),
    "mean_absolute_error": lambda truths, decided, outputs: _errors(truths, outputs, np.abs),
    "psnr": lambda truths, decided, outputs: _psnr(truths, outputs),
}
"""Metrics that are means over samples of something between a hit and a miss, or of an error."""


def _errors(truths: Array, outputs: Array, size: Callable[[Array], Array]) -> Array:
    return np.asarray(size((truths - outputs).astype(np.float64)).mean(axis=1))


def _psnr(truths: Array, outputs: Array) -> Array:
    """Peak signal-to-noise ratio of each sample, in dB; the peak is 1 or 255 if the truths fit, else their range."""
    low, high = float(truths.min()), float(truths.max())
    peak = 1.0 if low >= 0 and high <= 1 else 255.0 if low >= 0 and high <= 255 else high - low
    return np.asarray(10 * np.log10(peak**2 / np.maximum(_errors(truths, outputs, np.square), 1e-10 * peak**2)))


def _mean(values: Array) -> Interval:
    mean = float(values.mean())
    margin = Z95 * float(values.std()) / math.sqrt(len(values))
    return Interval(value=mean, low=mean - margin, high=mean + margin)


def _recalls(truths: Array, decided: Array, outputs: Array) -> Weighted:
    """The mean of the recalls of all classes that there are."""
    classes, own = np.unique(truths, return_inverse=True)
    hits = (truths == decided).astype(np.float64)

    def statistic(weights: Array) -> float:
        there = np.bincount(own, weights, len(classes))
        found = np.bincount(own, weights * hits, len(classes))
        return float((found[there > 0] / there[there > 0]).mean())

    return statistic


def _mean_iou(truths: Array, decided: Array, outputs: Array) -> Weighted:
    """The mean over classes of intersection over union, positions of all samples together; classes that none has or
    names do not count."""
    classes = np.union1d(truths, decided)
    ours, theirs = ((rows.reshape(len(rows), -1)[:, None] == classes[None, :, None]) for rows in (truths, decided))
    both, either = (ours & theirs).sum(axis=2).astype(np.float64), (ours | theirs).sum(axis=2).astype(np.float64)

    def statistic(weights: Array) -> float:
        return float((weights @ both / np.maximum(weights @ either, 1e-12))[weights @ either > 0].mean())

    return statistic


def _f1(truths: Array, decided: Array, outputs: Array) -> Weighted:
    """The mean over classes, or labels, of 2 TP / (2 TP + FP + FN); those that nobody has or names do not count."""
    if truths.ndim == 1:
        classes = np.union1d(truths, decided)
        truths, decided = (values[:, None] == classes for values in (truths, decided))
    true, said = truths.astype(np.float64), decided.astype(np.float64)
    both = true * said

    def statistic(weights: Array) -> float:
        hits, total = weights @ both, weights @ true + weights @ said
        return float((2 * hits[total > 0] / total[total > 0]).mean()) if (total > 0).any() else 0.0

    return statistic


def _auc(truths: Array, decided: Array, outputs: Array) -> Weighted:
    """The chance that a sample of a class, or with a label, has more of its output than one without; ties are half.

    Mean over classes against the rest, or labels, of which there are samples with and without.
    """
    if truths.ndim == 1:
        units = outputs.shape[1]
        truths = truths[:, None] if units == 1 else truths[:, None] == np.arange(units)
    columns = [_ranked(truths[:, unit] > 0, outputs[:, unit]) for unit in range(outputs.shape[1])]

    def statistic(weights: Array) -> float:
        found = [value for column in columns if (value := column(weights)) is not None]
        return float(np.mean(found)) if found else 0.5

    return statistic


def _ranked(positive: Array, values: Array) -> Callable[[Array], float | None]:
    order = np.argsort(values, kind="stable")
    yes = positive[order]
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0])

    def area(weights: Array) -> float | None:
        ordered = weights[order]
        ours = np.add.reduceat(np.where(yes, ordered, 0.0), starts)
        theirs = np.add.reduceat(np.where(yes, 0.0, ordered), starts)
        pairs = float(ours.sum() * theirs.sum())
        below = np.cumsum(theirs) - theirs / 2
        return float(ours @ below) / pairs if pairs else None

    return area


def _r2(truths: Array, decided: Array, outputs: Array) -> Weighted:
    true = truths.astype(np.float64)
    residuals = np.square(true - outputs).sum(axis=1)

    def statistic(weights: Array) -> float:
        mean = weights @ true / weights.sum()
        total = float(weights @ np.square(true - mean).sum(axis=1))
        left = float(weights @ residuals)
        return 1 - left / total if total else float(left == 0)

    return statistic


WHOLE: Final[Mapping[Metric, Callable[[Array, Array, Array], Weighted]]] = {
    "balanced_accuracy": _recalls,
    "f1": _f1,
    "auc": _auc,
    "r2": _r2,
    "mean_iou": _mean_iou,
}
"""Metrics that only all samples together have."""


def bootstrap(statistic: Weighted, num_samples: int) -> Interval:
    """A statistic with the percentiles of its values on samples drawn again, with a fixed seed.

    >>> interval = bootstrap(lambda weights: float(weights @ [0.0, 1.0] / 2), 2)
    >>> interval.value, interval.low, interval.high
    (0.5, 0.0, 1.0)
    """
    rng, even = np.random.default_rng(0), np.full(num_samples, 1 / num_samples)
    drawn = [statistic(rng.multinomial(num_samples, even).astype(np.float64)) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = statistic(np.ones(num_samples))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


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
