from collections.abc import Sequence
from typing import Any

import pytest

from engine.evaluation.verdicts import verdicts
from secateur.reports.report import GroupCut, Interval, Latency, Quality, Sizes, Variant
from secateur.specs.spec import Scheme


def variant(
    score: float = 0.9,
    gzip: int = 900,
    raw: int = 1000,
    p50: float = 1.0,
    macs: int = 1000,
    scheme: Scheme = "none",
    **quality: Any,
) -> Variant:
    return Variant(
        name="result",
        scheme=scheme,
        num_params=macs // 10,
        num_nonzero_params=1,
        num_macs=macs,
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


def said(
    before: Variant,
    after: Variant,
    target: float | None = None,
    groups: Sequence[GroupCut] = (),
    spread: float = 0.01,
) -> str:
    ratio = before.latency.p50_ms / after.latency.p50_ms
    speedup = Interval(value=ratio, low=ratio * (1 - spread), high=ratio / (1 - spread))
    found = verdicts(before, after, speedup, target=target, groups=groups)
    return " ".join(found).replace("\N{NO-BREAK SPACE}", " ")


def group(name: str, before: int, after: int) -> GroupCut:
    return GroupCut(name=name, layers=(name,), before=before, after=after)


CUT = (group("a", 64, 24), group("b", 32, 16), group("out", 10, 10))


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


def test_noise_is_not_told_as_a_fact() -> None:
    """A busy host said 12.5 times faster, of the same float graph."""
    assert "cannot tell on this host" in said(variant(p50=1.0), variant(p50=0.8), spread=0.4)
    assert "5.00× faster (3.00 to 8.33)" in said(variant(p50=1.0), variant(p50=0.2), spread=0.4)


def test_a_scheme_that_changed_nothing_is_told() -> None:
    untouched = variant(scheme="dynamic").model_copy(update={"weight_bytes": {"float32": 400}})
    half = variant(scheme="dynamic").model_copy(update={"weight_bytes": {"float32": 400, "int8": 100}})

    assert "dynamic quantised nothing" in said(variant(), untouched)
    assert "50 % of the weights are still float32" in said(variant(), half)


def test_channels_that_went_are_counted_with_what_went_with_them() -> None:
    text = said(variant(macs=1000), variant(macs=400, p50=0.4), groups=CUT)

    told = "Channels: 56 of the 96 in the 2 groups that lost some went, of 3 in all, and with them 60 % of the mult"
    assert told in text
    assert "60 % of the parameters" in text
    assert "60 % fewer multiply-accumulates took away 60 % of the time" in text
    assert "zeros" not in text.lower()


@pytest.mark.parametrize(
    ("before", "after", "scheme", "told"),
    [
        pytest.param(0.05, 0.045, "none", "starting each operation, counts for much", id="tiny"),
        pytest.param(9.0, 8.0, "none", "Activations, pooling, layers left alone", id="memory"),
        pytest.param(9.0, 11.0, "int8", "Number format int8 can cost time", id="format"),
    ],
)
def test_fewer_products_that_did_not_save_time_are_explained(
    before: float, after: float, scheme: Scheme, told: str
) -> None:
    """Somebody who halved a model and sees no speed wants to know whether to go on."""
    text = said(variant(p50=before), variant(p50=after, macs=400, scheme=scheme), groups=CUT)

    assert told in text
    assert ("none of the time" in text) == (after > before)


def test_a_number_format_that_has_a_part_in_the_speed_is_named_as_one() -> None:
    text = said(variant(), variant(macs=400, p50=0.2, scheme="int8"), groups=CUT)

    assert "60 % fewer multiply-accumulates and the number format took away 80 % of the time" in text
    assert "can cost time" not in text


def test_zeros_beside_fewer_channels_do_not_take_the_credit() -> None:
    text = said(variant(), variant(macs=400, p50=0.4), target=0.8, groups=CUT)

    assert "comes from fewer channels or the number format" in text


def test_groups_of_which_nothing_went_are_not_told_of() -> None:
    text = said(variant(), variant(), groups=(group("a", 8, 8),))

    assert "hannels" not in text
    assert "multiply-accumulates" not in text
