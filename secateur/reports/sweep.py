"""The report of a sweep: its trials, and their means and deviations over seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Literal

from pydantic import Field

from secateur.errors import Failure
from secateur.frozen import Frozen
from secateur.ids import JobId
from secateur.protocol.states import JobState
from secateur.reports.report import Host, Variant
from secateur.specs.sweep import SweepRecipe


class TrialResult(Frozen):
    """What came of one trial. Numbers are those of its own report; none when it failed."""

    method: str
    sparsity: float
    seed: int
    job_id: JobId | None = None
    state: JobState = JobState.SUCCEEDED
    result: Variant | None = None
    baseline_p50_ms: float | None = Field(default=None, description="Of the original, in the same run.")
    failure: Failure | None = None

    @property
    def times_faster(self) -> float | None:
        """By median latency in one run."""
        if self.result is None or self.baseline_p50_ms is None:
            return None
        return self.baseline_p50_ms / self.result.latency.p50_ms


class Point(Frozen):
    """All seeds of one method at one sparsity."""

    method: str
    sparsity: float
    scores: tuple[float, ...] = Field(description="The metric of the exported file, a seed each.")
    mean: float | None = None
    deviation: float | None = Field(default=None, description="Standard deviation over seeds; needs two of them.")
    tflite_gzip_bytes: int | None = Field(default=None, description="Median over seeds.")
    num_nonzero_params: int | None = None
    num_macs: int | None = None
    times_faster: float | None = None
    num_failed: int = 0


class SweepReport(Frozen):
    """What a sweep found out."""

    schema_version: Literal[1] = 1
    kind: Literal["sweep"] = "sweep"
    model_name: str
    metric: str
    metric_label: str = Field(description="What the metric is called in words.")
    higher_is_better: bool
    baseline: Variant = Field(description="The original, as file.")
    spec: SweepRecipe
    points: tuple[Point, ...] = Field(description="Mean over seeds, by method and rising sparsity.")
    trials: tuple[TrialResult, ...]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = ()
    host: Host
    seconds: Mapping[str, float] = Field(description="Wall time by step.")

    def loss(self, point: Point) -> float | None:
        """What this costs, in the metric's unit; below zero where it helps."""
        if point.mean is None:
            return None
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * (self.baseline.quality.score.value - point.mean)

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in the order of the spec."""
        return tuple(dict.fromkeys(point.method for point in self.points))

    def of(self, method: str) -> tuple[Point, ...]:
        """The points of one method, by rising sparsity."""
        return tuple(point for point in self.points if point.method == method)


def points_of(recipe: SweepRecipe, trials: Sequence[TrialResult]) -> Iterator[Point]:
    """Trials gathered over their seeds."""
    for method, sparsity in product(recipe.names, recipe.sparsities):
        here = [trial for trial in trials if (trial.method, trial.sparsity) == (method, sparsity)]
        found = [trial.result for trial in here if trial.result is not None]
        scores = tuple(variant.quality.score.value for variant in found)
        faster = [trial.times_faster for trial in here if trial.times_faster is not None]
        yield Point(
            method=method,
            sparsity=sparsity,
            scores=scores,
            mean=sum(scores) / len(scores) if scores else None,
            deviation=deviation(scores) if len(scores) > 1 else None,
            tflite_gzip_bytes=_median([variant.sizes.tflite_gzip_bytes for variant in found]),
            num_nonzero_params=_median([variant.num_nonzero_params for variant in found]),
            num_macs=_median([variant.num_macs for variant in found if variant.num_macs is not None]),
            times_faster=sorted(faster)[len(faster) // 2] if faster else None,
            num_failed=len(here) - len(found),
        )


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample.

    >>> deviation([1.0, 2.0, 3.0])
    1.0
    """
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(values: Sequence[int]) -> int | None:
    return sorted(values)[len(values) // 2] if values else None
