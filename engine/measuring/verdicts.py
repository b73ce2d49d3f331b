"""What the numbers of a report mean, in plain words: the answers that users otherwise have to ask for."""

from collections.abc import Iterator

from jobspec.report import Variant
from reporting import words

FASTER = 1.15
"""Ratio of latencies from which it is worth calling one file faster than another."""


def verdicts(baseline: Variant, result: Variant, *, target: float | None) -> tuple[str, ...]:
    """Sentences about quality, size and speed, in that order.

    Args:
        target: the sparsity that was asked for, None when nothing was pruned.
    """
    return (*_quality(baseline, result), *_size(baseline, result, target), *_speed(baseline, result, target))


def _quality(baseline: Variant, result: Variant) -> Iterator[str]:
    before, after = baseline.quality, result.quality
    name = after.metric.replace("_", " ")
    samples = f"{after.num_samples:,} test samples"
    change = after.score.value - before.score.value
    if change == 0:
        yield f"Quality: the {name} is unchanged on {samples}."
        return
    size = words.score_change(before, after).lstrip("+\N{MINUS SIGN}-")
    word = "better" if (change > 0) == after.higher_is_better else "worse"
    within = "within" if before.score.low <= after.score.value <= before.score.high else "outside"
    yield f"Quality: the {name} is {size} {word} on {samples}, {within} the 95 % interval of the original."


def _size(baseline: Variant, result: Variant, target: float | None) -> Iterator[str]:
    before, after = baseline.sizes, result.sizes
    raw = words.times(before.tflite_bytes, after.tflite_bytes)
    packed = words.times(before.tflite_gzip_bytes, after.tflite_gzip_bytes)
    yield f"Size: the .tflite file is {raw} as stored and {packed} as gzip."
    if target and before.tflite_gzip_bytes / after.tflite_gzip_bytes > 1.5 * before.tflite_bytes / after.tflite_bytes:
        yield (
            "The zeros pay off in transfer, not on disk: LiteRT stores them like other weights, gzip does not. "
            "Ship the file compressed."
        )


def _speed(baseline: Variant, result: Variant, target: float | None) -> Iterator[str]:
    before, after = baseline.latency.p50_ms, result.latency.p50_ms
    changed = not 1 / FASTER < before / after < FASTER
    said = words.times(before, after, "faster", "slower") if changed else "about the same"
    yield f"Speed: {said} on this CPU, one sample at a time on one thread."
    if target:
        yield (
            "Zeros in single weights do not speed up inference here: the CPU multiplies them all the same. "
            "What is gained in speed comes from the number format."
        )
