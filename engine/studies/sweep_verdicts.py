"""The verdicts of a sweep, as sentences for its report."""

from collections.abc import Iterator

from secateur.reports.sweep import Point, SweepReport
from secateur.specs.sweep import RANDOM
from secateur.text import words


def verdicts(report: SweepReport) -> tuple[str, ...]:
    """Sentences about the sparsity that each method reaches, the value of its criterion, and failed trials."""
    named = [name for name in report.methods if not name.endswith(RANDOM)]
    return (*(_kept(report, name) for name in named), *_against_random(report, named), *_failed(report))


def tolerance(report: SweepReport) -> float:
    """The loss that counts as none: 0.01 of a share, a tenth of an error."""
    value = report.baseline.quality.score.value
    return 0.01 if report.higher_is_better else 0.1 * abs(value)


def _kept(report: SweepReport, name: str) -> str:
    free = words.tolerance(report.metric).removesuffix(" of the error")
    label = report.metric_label
    best = deepest_within(report, name)
    if best is None:
        mildest = words.grid_point(report.of(name)[0].sparsity)
        return f"{name}: even {mildest} costs more than {free} of {label}, or has no result."
    reached = f"{name}: {words.grid_point(best.sparsity)} is the most that costs at most {free} of {label}"
    lost = report.loss(best)
    assert lost is not None
    return f"{reached} ({words.cost(report.metric, lost)}{_gains(report, best)})."


def deepest_within(report: SweepReport, name: str) -> Point | None:
    """The last point, by rising sparsity, before the first one that costs more than the tolerance."""
    best = None
    for point in report.of(name):
        lost = report.loss(point)
        if lost is None or lost > tolerance(report) + 1e-9:
            break
        best = point
    return best


def _gains(report: SweepReport, point: Point) -> str:
    gains = []
    if point.tflite_gzip_bytes:
        before = report.baseline.sizes.tflite_gzip_bytes
        gains.append(f"file {words.times(before, point.tflite_gzip_bytes)} as gzip")
    if point.times_faster:
        gains.append(words.times(point.times_faster, 1.0, "faster", "slower"))
    return "".join(f", {gain}" for gain in gains)


def _against_random(report: SweepReport, names: list[str]) -> Iterator[str]:
    sign = 1.0 if report.higher_is_better else -1.0
    for name in names:
        pairs = [
            (point.sparsity, point.mean, twin.mean)
            for point, twin in zip(report.of(name), report.of(name + RANDOM), strict=False)
            if point.mean is not None and twin.mean is not None
        ]
        if not pairs:
            continue
        sparsity, ours, random = max(pairs, key=lambda pair: sign * (pair[1] - pair[2]))
        yield (
            f"{name}: compared with random pruning, the criterion is worth most at {words.grid_point(sparsity)}: "
            f"{words.score(report.metric, ours)} against {words.score(report.metric, random)} "
            f"({words.cost(report.metric, -sign * (ours - random))})."
        )


def _failed(report: SweepReport) -> Iterator[str]:
    failed = [trial for trial in report.trials if trial.result is None]
    if failed:
        first = failed[0]
        why = f"{first.failure.title}: {first.failure.detail}" if first.failure else f"it was {first.state}"
        where = f"{first.method} at {words.grid_point(first.sparsity)}"
        yield f"{len(failed)} of {len(report.trials)} trials have no result. The first, {where}: {why}"
