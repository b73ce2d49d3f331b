"""Rounding, at the edges where it goes wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.text import words


def plain(text: str) -> str:
    return text.replace(words.NBSP, " ").replace(words.TIMES, "x").replace(words.MINUS, "-")


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"), (10**9, "1.00 GB")],
)
def test_sizes_change_units_before_they_reach_a_thousand(num_bytes: int, expected: str) -> None:
    """1000 kB would be read as more precise than it is."""
    assert plain(words.size(num_bytes)) == expected


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0.0, "0 ms"), (0.0999996, "0.100 ms"), (0.99951, "1.00 ms"), (9.9951, "10.0 ms"), (1234.5, "1,234 ms")],
)
def test_three_digits_hold_at_every_power_of_ten(ms: float, expected: str) -> None:
    """Rounding up may add a digit."""
    assert plain(words.milliseconds(ms)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (86_400, "24 h 00 min")]
)
def test_durations_never_show_sixty(seconds: float, expected: str) -> None:
    """59.96 seconds are a minute, not 60.0 s."""
    assert plain(words.duration(seconds)) == expected


def test_nothing_is_minus_zero() -> None:
    """It looks like a loss that is too small to tell."""
    assert plain(words.share(-1e-9)) == "0.00 %"


@pytest.mark.parametrize(("before", "after"), [(0, 5), (5, 0)])
def test_a_ratio_without_meaning_is_left_out(before: int, after: int) -> None:
    """An empty file is not infinitely smaller."""
    assert words.times(before, after) == words.EN_DASH


@given(st.integers(0, 10**13))
def test_a_size_is_told_to_three_digits(num_bytes: int) -> None:
    """Half a percent at worst, at every size."""
    number, unit = plain(words.size(num_bytes)).split(" ")

    factor = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert float(number.replace(",", "")) * factor == pytest.approx(num_bytes, rel=0.0051)
