"""The lines of the table that answers the question: what was it before, what is it now?"""

from dataclasses import dataclass
from typing import Final, Literal

from secateur.reports.report import Interval, Report
from secateur.specs.spec import Scheme
from secateur.text import speed, words

Tone = Literal["better", "worse", "same"]


@dataclass(frozen=True)
class Line:
    """One quantity, before and after, as text. ``exact`` holds the same without rounding, where that differs."""

    label: str
    before: str
    after: str
    change: str
    tone: Tone = "same"
    exact: tuple[str, str] | None = None
    headline: bool = False


def lines(report: Report) -> tuple[Line, ...]:
    """The whole comparison, quality first, then size, then speed."""
    before, after = report.baseline, report.result
    sizes, nonzero = (before.sizes, after.sizes), (before.num_nonzero_params, after.num_nonzero_params)
    return (
        *_quality(report),
        _bytes(".tflite, as gzip", sizes[0].tflite_gzip_bytes, sizes[1].tflite_gzip_bytes, headline=True),
        _bytes(".tflite", sizes[0].tflite_bytes, sizes[1].tflite_bytes),
        _bytes(".keras, as gzip", sizes[0].keras_gzip_bytes, sizes[1].keras_gzip_bytes),
        _bytes(".keras", sizes[0].keras_bytes, sizes[1].keras_bytes),
        _count("Parameters", before.num_params, after.num_params),
        *([_count("Parameters that are not zero", *nonzero)] if has_zeros(report) else []),
        *_macs(report),
        *_latencies(report),
        Line("Number format", SCHEMES[before.scheme], SCHEMES[after.scheme], ""),
    )


def has_zeros(report: Report) -> bool:
    """Whether zeros are worth a word: somebody asked for them, or the model brought more than a stray one along."""
    return any(layer.pruned or layer.keras_sparsity >= STRAY for layer in report.layers)


def lost_channels(report: Report) -> bool:
    """Whether the result has fewer channels than the model that was uploaded."""
    return any(group.after < group.before for group in report.groups)


QUIET: Final = 1.5
"""95th percentile over median under which a host counts as quiet."""

STRAY: Final = 0.01
"""Share of zeros in a kernel under which nobody has put them there."""

SCHEMES: Final[dict[Scheme, str]] = {
    "none": "float32",
    "float16": "float16 weights",
    "dynamic": "int8 weights",
    "int8": "int8",
}


def _quality(report: Report) -> tuple[Line, ...]:
    before, after = report.baseline.quality, report.result.quality
    metric = after.metric
    gain = (after.score.value - before.score.value) * (1 if after.higher_is_better else -1)
    inside = before.score.low <= after.score.value <= before.score.high
    return (
        Line(
            capitalized(report.metric_label),
            words.score(metric, before.score.value),
            words.score(metric, after.score.value),
            words.score_change(before, after),
            "same" if inside else "better" if gain > 0 else "worse",
            headline=True,
        ),
        Line(
            f"{capitalized(report.metric_label)}, 95 % interval",
            words.interval(metric, before.score),
            words.interval(metric, after.score),
            "",
        ),
        Line(
            words.likeness(metric),
            words.agreement(metric, before.agreement),
            words.agreement(metric, after.agreement),
            "",
        ),
    )


def _bytes(label: str, before: int, after: int, *, headline: bool = False) -> Line:
    return Line(
        label,
        words.size(before),
        words.size(after),
        words.times(before, after),
        _tone(before, after),
        exact=(words.exact_size(before), words.exact_size(after)),
        headline=headline,
    )


def _count(label: str, before: int, after: int) -> Line:
    change = words.times(before, after, "fewer", "more")
    return Line(label, words.count(before), words.count(after), change, _tone(before, after))


def _macs(report: Report) -> tuple[Line, ...]:
    """Nothing for reports from before they were counted."""
    before, after = report.baseline.num_macs, report.result.num_macs
    if before is None or after is None:
        return ()
    line = Line(
        "Multiply-accumulates",
        words.amount(before),
        words.amount(after),
        words.times(before, after, "fewer", "more"),
        _tone(before, after),
        exact=(words.count(before), words.count(after)),
        headline=lost_channels(report),
    )
    return (line,)


def _latencies(report: Report) -> tuple[Line, ...]:
    """Medians with the interval of their ratio; 95th percentiles are compared on a quiet host only."""
    before, after, speedup = report.baseline.latency, report.result.latency, report.speedup
    if speedup is None:  # a report from before intervals were measured
        ratio = before.p50_ms / after.p50_ms
        speedup = Interval(value=ratio, low=ratio, high=ratio)
        change = words.times(before.p50_ms, after.p50_ms, "faster", "slower")
    else:
        change = speed.speed(speedup)
    level = speedup.low <= 1 <= speedup.high or abs(speedup.value - 1) < words.ABOUT_EQUAL
    tone: Tone = "same" if level else "better" if speedup.value > 1 else "worse"
    quiet = all(each.p95_ms < QUIET * each.p50_ms for each in (before, after)) and not speed.cannot_tell(speedup)
    tail = words.times(before.p95_ms, after.p95_ms, "faster", "slower") if quiet else "noisy host"
    return (
        Line(
            "Latency, median",
            words.milliseconds(before.p50_ms),
            words.milliseconds(after.p50_ms),
            change,
            tone,
            headline=True,
        ),
        Line(
            "Latency, 95th percentile",
            words.milliseconds(before.p95_ms),
            words.milliseconds(after.p95_ms),
            tail,
            _tone(before.p95_ms, after.p95_ms) if quiet else "same",
        ),
    )


def _tone(before: float, after: float) -> Tone:
    if abs(before - after) < words.ABOUT_EQUAL * before:
        return "same"
    return "better" if after < before else "worse"


def capitalized(text: str) -> str:
    """The first letter upper case, the others as they are."""
    return text[:1].upper() + text[1:]
