"""The verdicts of a search, as sentences for its report."""

from collections.abc import Iterator
from typing import Final

from secateur.reports.search import SearchReport
from secateur.text import words

STOPPED: Final = {
    "resolution": "The search ended because the remaining interval is smaller than its resolution",
    "trials": "The search ended because its budget of trials is used up",
    "seconds": "The search ended because its budget of time is used up",
}


def verdicts(report: SearchReport) -> tuple[str, ...]:
    """Sentences about the sparsity that was found, how the search ended, and the influence of chance."""
    return (*_found(report), _next(report), *_chance(report))


def _found(report: SearchReport) -> Iterator[str]:
    lost = next(trial.drop for trial in report.trials if trial.sparsity == report.sparsity and trial.drop is not None)
    before, after = report.best.baseline.sizes.tflite_gzip_bytes, report.best.result.sizes.tflite_gzip_bytes
    sparsity, cost = (
        f"{words.grid_point(report.sparsity)}{_of_what(report)}",
        f"{words.cost(report.metric, lost)} of {report.metric_label}",
    )
    sentence = f"{sparsity} can be removed: {cost}"
    if not report.goals_met:
        sentence = f"No trial met the goals. The result is the trial with the smallest loss, {sparsity} removed: {cost}"
    yield f"{sentence}, the file {words.times(before, after)} as gzip."
    yield from (verdict for verdict in report.best.verdicts if not verdict.startswith("Quality:"))


def _of_what(report: SearchReport) -> str:
    """Which weights a sparsity counts, where layers were left alone, and how many of all weights those zeros are."""
    layers = [layer for layer in report.best.layers if layer.kernel_shape is not None]
    pruned, total = (sum(each.num_weights for each in some) for some in ([x for x in layers if x.pruned], layers))
    if not pruned or pruned == total:
        return ""
    zeros = sum((layer.target or 0.0) * layer.num_weights for layer in layers if layer.pruned)
    return f" of the weights in the pruned layers ({words.percent(zeros / total)} of all weights)"


def _next(report: SearchReport) -> str:
    above = [trial for trial in report.trials if not trial.met and trial.sparsity > report.sparsity]
    sentence = f"{STOPPED[report.stopped_by]}, after {len(report.trials)} trials"
    if not above or not report.goals_met:
        return f"{sentence}."
    nearest = min(above, key=lambda trial: trial.sparsity)
    lost = "could not be reached" if nearest.drop is None else f"costs {words.cost(report.metric, nearest.drop)}"
    return f"{sentence}; the next higher sparsity, {words.grid_point(nearest.sparsity)}, {lost}."


def _chance(report: SearchReport) -> Iterator[str]:
    score = report.best.result.quality.score
    if words.is_share(report.metric):
        half = 50 * (score.high - score.low)
        yield (
            f"Every trial was measured on the same {words.count(report.best.result.quality.num_samples)} test samples; "
            f"on other data, chance changes the score by about ±{half:.2f} points."
        )
