"""What the numbers of a report mean, in plain words: the answers that users otherwise have to ask for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from secateur.reports.report import GroupCut, Interval, Variant
from secateur.reports.summaries import TestedOn
from secateur.specs.metrics import in_words
from secateur.text import speed, words

FASTER = 1.15
"""Ratio of latencies from which it is worth calling one file faster than another."""

EXPECTED = 0.7
"""Saved time over multiply-accumulates that went, under which a report says where the rest may be."""

KEPT = 0.1
"""Share of float32 weights in a quantised file from which the report mentions them."""

BYTES: Final[Mapping[str, float]] = {"int4": 0.5, "int8": 1, "uint8": 1, "int16": 2, "float16": 2}
"""Bytes of a value; 4 for all other types."""

TINY_MS = 0.1
"""Latency under which starting operations, about a microsecond each, is a large part of it."""


def verdicts(
    baseline: Variant,
    result: Variant,
    speedup: Interval,
    *,
    target: float | None,
    groups: Sequence[GroupCut] = (),
    tested_on: TestedOn = "test",
) -> tuple[str, ...]:
    """Sentences about quality, size, channels and speed, in that order.

    Args:
        target: the sparsity that was asked for, None when nothing was pruned to zero.
        groups: what became of every group of channels; nothing when no step took channels away.
        tested_on: the split that the scores are of.
    """
    return (
        *_quality(baseline, result, tested_on),
        *_size(baseline, result, target),
        *_format(result),
        *_channels(baseline, result, groups),
        *_speed(baseline, result, speedup, target, cut=any(group.after < group.before for group in groups)),
    )


def _quality(baseline: Variant, result: Variant, tested_on: TestedOn) -> Iterator[str]:
    before, after = baseline.quality, result.quality
    name = in_words(after.metric)
    samples = f"{after.num_samples:,} {tested_on} samples"
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


def _format(result: Variant) -> Iterator[str]:
    """What of the weights the scheme has changed, counted in the file."""
    if result.scheme == "none" or not result.weight_bytes:
        return
    floats = result.weight_bytes.get("float32", 0)
    if floats == sum(result.weight_bytes.values()):
        limit = ", because LiteRT leaves tensors of fewer than 1,024 values alone" if result.scheme == "dynamic" else ""
        yield (
            f"Number format: {result.scheme} quantised nothing; every weight is still float32{limit}. "
            "Leave out the quantize step, or use int8 or float16."
        )
    elif floats / 4 > KEPT * _num_values(result.weight_bytes):
        share = words.percent(floats / 4 / _num_values(result.weight_bytes))
        yield f"Number format: {share} of the weights are still float32 in the .tflite file."


def _num_values(weight_bytes: Mapping[str, int]) -> float:
    return sum(count / BYTES.get(kind, 4) for kind, count in weight_bytes.items())


def _channels(baseline: Variant, result: Variant, groups: Sequence[GroupCut]) -> Iterator[str]:
    cut = [group for group in groups if group.after < group.before]
    if not cut:
        return
    gone = f"{_gone(baseline.num_params, result.num_params)} of the parameters"
    if baseline.num_macs and result.num_macs is not None:
        gone = f"{_gone(baseline.num_macs, result.num_macs)} of the multiply-accumulates and {gone}"
    before, after = sum(group.before for group in cut), sum(group.after for group in cut)
    where = f"the {len(cut)} groups" if len(cut) > 1 else "one group"
    yield (
        f"Channels: {before - after:,} of the {before:,} in {where} that lost some went, of {len(groups)} in all, "
        f"and with them {gone}."
    )


def _gone(before: int, after: int) -> str:
    return words.percent(1 - after / before)


def _speed(baseline: Variant, result: Variant, speedup: Interval, target: float | None, *, cut: bool) -> Iterator[str]:
    """Whether the result is faster, as far as the measurement can tell.

    Args:
        baseline: the original.
        result: the result.
        speedup: of the result, with its interval.
        target: the sparsity that was asked for; None when no weights were pruned.
        cut: whether channels were removed.
    """
    if speed.cannot_tell(speedup):
        yield f"Speed: cannot tell on this host, whose timings vary too much: {speed.times_interval(speedup)}."
    else:
        changed = not 1 / FASTER < speedup.value < FASTER
        said = speed.speed(speedup) if changed else "about the same"
        sentence = f"Speed: {said} on this CPU, one sample at a time on one thread."
        yield " ".join([sentence, *(_earned(baseline, result) if cut else ())])
    if target:
        rest = "fewer channels or the number format" if cut else "the number format"
        yield (
            "Zeros in single weights do not speed up inference here: the CPU multiplies them all the same. "
            f"What is gained in speed comes from {rest}."
        )


def _earned(baseline: Variant, result: Variant) -> Iterator[str]:
    """What share of the time went with the multiply-accumulates, and where the rest may be."""
    if not baseline.num_macs or result.num_macs is None:
        return
    fewer = 1 - result.num_macs / baseline.num_macs
    saved = 1 - result.latency.p50_ms / baseline.latency.p50_ms
    changed = baseline.scheme != result.scheme
    what = f"{words.percent(fewer)} fewer multiply-accumulates{' and the number format' if changed else ''}"
    time = f"{words.percent(saved)} of the time" if saved > 0 else "none of the time"
    yield f"{what[:1].upper()}{what[1:]} took away {time}."
    if saved < EXPECTED * fewer:
        yield _why_not(result, changed)


def _why_not(result: Variant, changed: bool) -> str:
    ms = words.milliseconds(result.latency.p50_ms)
    if result.latency.p50_ms < TINY_MS:
        return (
            f"At {ms} a sample what does not shrink with the channels, such as starting each operation, counts "
            "for much; a larger model gains more."
        )
    if changed:
        return f"Number format {result.scheme} can cost time on some CPUs: the same job without quantize tells."
    return "Activations, pooling, layers left alone, and reading and writing memory do not shrink as fast."
