"""What the numbers of a report mean, in plain words: the answers that users otherwise have to ask for."""

from collections.abc import Iterator

from jobspec.report import Variant


def verdicts(baseline: Variant, result: Variant, *, target: float | None, delivered: float | None) -> tuple[str, ...]:
    """Sentences about quality, size and speed, in that order."""
    return (
        *_quality(baseline, result),
        *_size(baseline, result, delivered),
        *_speed(baseline, result, target),
    )


def _quality(baseline: Variant, result: Variant) -> Iterator[str]:
    before, after = baseline.quality, result.quality
    name, n = after.metric.replace("_", " "), after.num_samples
    is_share = after.metric == "accuracy"
    change = after.score.value - before.score.value
    better = change > 0 if after.higher_is_better else change < 0
    size = f"{abs(change) * 100:.2f} points" if is_share else f"{abs(change):.4g}"
    if change == 0:
        yield f"Quality: the {name} is unchanged on {n:,} test samples."
        return
    word = "better" if better else "worse"
    noise = before.score.low <= after.score.value <= before.score.high
    meaning = (
        "which is within the 95 % interval of the original"
        if noise
        else "which is outside the 95 % interval of the original"
    )
    yield f"Quality: the {name} is {size} {word} on {n:,} test samples, {meaning}."


def _size(baseline: Variant, result: Variant, delivered: float | None) -> Iterator[str]:
    raw = baseline.sizes.tflite_bytes / result.sizes.tflite_bytes
    packed = baseline.sizes.tflite_gzip_bytes / result.sizes.tflite_gzip_bytes
    yield f"Size: the .tflite file is {_smaller(raw)} as stored and {_smaller(packed)} as gzip."
    if delivered and packed > 1.5 * raw:
        yield (
            "The zeros pay off in transfer, not on disk: LiteRT stores them like other weights, gzip does not. "
            "Ship the file compressed."
        )


def _smaller(ratio: float) -> str:
    if 0.98 < ratio < 1.02:
        return "as large as before"
    return f"{ratio:.1f} times smaller" if ratio > 1 else f"{1 / ratio:.2f} times larger"


def _speed(baseline: Variant, result: Variant, target: float | None) -> Iterator[str]:
    ratio = baseline.latency.p50_ms / result.latency.p50_ms
    if ratio > 1.15:
        yield f"Speed: {ratio:.1f} times faster on this CPU, one sample at a time on one thread."
    elif ratio < 1 / 1.15:
        yield f"Speed: {1 / ratio:.1f} times slower on this CPU, one sample at a time on one thread."
    else:
        yield "Speed: about the same on this CPU, one sample at a time on one thread."
    if target:
        yield (
            "Zeros in single weights do not speed up inference here: the CPU kernels multiply them all the same. "
            "What is gained in speed comes from the number format."
        )
