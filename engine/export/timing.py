"""Wall time of single samples through files, and how sure the ratio of two of them is.

The files take turns, so that a busy host slows all alike, and the ratio is taken within short blocks. Measuring goes on
until the ratio is known well or the time is up: on a noisy host the interval stays wide, and reports say so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.export.litert import Runner
from engine.parts import Inputs
from secateur.reports.report import Interval, Latency

WARMUP_RUNS: Final = 20
NARROW: Final = 1.1
"""Upper over lower end of the interval of a ratio at which measuring stops."""

BLOCKS: Final = 20
RESAMPLES: Final = 400


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each run of each file, shape (files, runs); the runs of one column followed each other."""

    milliseconds: Array

    def latencies(self) -> list[Latency]:
        """Percentiles for each file."""
        return [_percentiles(row) for row in self.milliseconds]

    def speedup(self) -> Interval:
        """How many times as fast the last file is as the first, with a 95 % interval."""
        return speedup(self.milliseconds[0], self.milliseconds[-1])


def time_files(runners: Sequence[Runner], inputs: Inputs, *, num_runs: int = 200, max_seconds: float = 20.0) -> Timings:
    """Run single samples through each file in turn.

    Args:
        runners: the files; the first and the last are compared.
        inputs: samples to take, shape (n, ...).
        num_runs: runs of each file, after warm-up, before the ratio is looked at; more follow while it is uncertain.
        max_seconds: when to stop whatever is known.
    """
    taken: list[list[float]] = []
    deadline = time.monotonic() + max_seconds
    while time.monotonic() < deadline or not taken:
        sample = inputs[len(taken) % len(inputs) :][:1]
        taken.append([_milliseconds(runner, sample) for runner in runners])
        num_timed = len(taken) - WARMUP_RUNS
        if num_timed >= num_runs and num_timed % num_runs == 0 and _is_known(taken):
            break
    return Timings(np.array(taken[min(WARMUP_RUNS, len(taken) // 2) :]).T)


def _milliseconds(runner: Runner, sample: Inputs) -> float:
    start = time.perf_counter()
    runner.run(sample)
    return (time.perf_counter() - start) * 1000


def _is_known(taken: Sequence[Sequence[float]]) -> bool:
    times = np.array(taken[WARMUP_RUNS:]).T
    if len(times) == 1:
        return True
    found = speedup(times[0], times[-1])
    return found.high <= NARROW * found.low


def speedup(before: Array, after: Array) -> Interval:
    """The ratio of two medians with a 95 % interval: percentiles of a seeded bootstrap over blocks of paired runs.

    Args:
        before: milliseconds of the first file, shape (runs,).
        after: milliseconds of the second file in the same runs, shape (runs,).

    >>> speedup(np.full(100, 2.0), np.full(100, 1.0))
    Interval(value=2.0, low=2.0, high=2.0)

    Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".
    """
    blocks = [
        np.log(np.median(ours) / np.median(theirs))
        for ours, theirs in zip(np.array_split(before, BLOCKS), np.array_split(after, BLOCKS), strict=True)
        if len(ours)
    ]
    value = float(np.median(before) / np.median(after))
    drawn = np.random.default_rng(0).choice(blocks, (RESAMPLES, len(blocks)))
    low, high = np.exp(np.percentile(np.median(drawn, axis=1), [2.5, 97.5]))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def _percentiles(milliseconds: Array) -> Latency:
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return Latency(p50_ms=float(p50), p95_ms=float(p95), num_runs=len(milliseconds))
