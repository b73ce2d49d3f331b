"""What a search found, in plain words."""

from collections.abc import Iterator
from typing import Final

from secateur.reports.search import SearchReport
from secateur.text import words

STOPPED: Final = {
    "resolution": "The search ended because what is left to try lies within its resolution",
    "trials": "The search ended with its budget of trials",
    "seconds": "The search ended with its budget of time",
}


def verdicts(report: SearchReport) -> tuple[str, ...]:
    """Sentences about what can go, how sure that is, and how the search ended."""
    return (*_found(report), _next(report), *_chance(report))


def _found(report: SearchReport) -> Iterator[str]:
    lost = next(trial.drop for trial in report.trials if trial.sparsity == report.sparsity and trial.drop is not None)
    before, after = report.best.baseline.sizes.tflite_gzip_bytes, report.best.result.sizes.tflite_gzip_bytes
    told = f"{words.grid_point(report.sparsity)} can go: {words.cost(report.metric, lost)} of {report.metric_label}"
    if not report.goals_met:
        told = f"No trial met the bound. Handed out is the one that lost least, {words.grid_point(report.sparsity)} cut"
        told += f": {words.cost(report.metric, lost)} of {report.metric_label}"
    yield f"{told}, the file {words.times(before, after)} as gzip."
    yield from report.best.verdicts[1:]


def _next(report: SearchReport) -> str:
    above = [trial for trial in report.trials if not trial.met and trial.sparsity > report.sparsity]
    told = f"{STOPPED[report.stopped_by]}, after {len(report.trials)} trials"
    if not above or not report.goals_met:
        return f"{told}."
    nearest = min(above, key=lambda trial: trial.sparsity)
    lost = "could not be cut" if nearest.drop is None else f"costs {words.cost(report.metric, nearest.drop)}"
    return f"{told}; the next above, {words.grid_point(nearest.sparsity)}, {lost}."


def _chance(report: SearchReport) -> Iterator[str]:
    score = report.best.result.quality.score
    if words.is_share(report.metric):
        half = 50 * (score.high - score.low)
        yield (
            f"The bound was held against the same {words.count(report.best.result.quality.num_samples)} test samples "
            f"for every trial; on other data chance moves the score by about ±{half:.2f} points."
        )
