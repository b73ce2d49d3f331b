from typing import Any

import pytest

from engine.measuring.verdicts import verdicts
from jobspec.report import Interval, Latency, Quality, Sizes, Variant


def variant(score: float = 0.9, gzip: int = 900, raw: int = 1000, p50: float = 1.0, **quality: Any) -> Variant:
    return Variant(
        name="result",
        scheme="none",
        num_params=1,
        num_nonzero_params=1,
        sizes=Sizes(keras_bytes=1, keras_gzip_bytes=1, tflite_bytes=raw, tflite_gzip_bytes=gzip),
        quality=Quality(
            metric=quality.get("metric", "accuracy"),
            higher_is_better=quality.get("higher_is_better", True),
            score=Interval(value=score, low=score - 0.02, high=score + 0.02),
            num_samples=1000,
            agreement=1.0,
        ),
        latency=Latency(p50_ms=p50, p95_ms=p50, num_runs=10),
    )


def said(before: Variant, after: Variant, target: float | None = None) -> str:
    return " ".join(verdicts(before, after, target=target)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0.9, "unchanged"),
        (0.91, "1.00 points better on 1,000 test samples, within"),
        (0.89, "1.00 points worse on 1,000 test samples, within"),
        (0.85, "5.00 points worse on 1,000 test samples, outside"),
    ],
)
def test_quality_is_held_against_the_interval_of_the_original(after: float, expected: str) -> None:
    assert expected in said(variant(), variant(after))


def test_less_error_is_better() -> None:
    error = {"metric": "mean_absolute_error", "higher_is_better": False}

    assert "better" in said(variant(0.5, **error), variant(0.4, **error))


def test_zeros_that_only_gzip_sees_are_called_that() -> None:
    """Pruned, but the file is not smaller: the most frequent complaint about every toolkit."""
    text = said(variant(), variant(gzip=90, raw=1000), target=0.9)

    assert "unchanged as stored and 10.0× smaller as gzip" in text
    assert "Ship the file compressed" in text
    assert "do not speed up" in text


def test_nothing_is_said_of_zeros_where_none_were_made() -> None:
    text = said(variant(), variant(gzip=250, raw=250, p50=0.5))

    assert "4.00× smaller as stored" in text
    assert "2.00× faster" in text
    assert "zeros" not in text.lower()


def test_small_differences_in_latency_are_not_called_a_speed_up() -> None:
    assert "about the same" in said(variant(p50=1.0), variant(p50=0.9))
    assert "slower" in said(variant(p50=1.0), variant(p50=1.5))
