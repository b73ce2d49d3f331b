"""How many times as fast one file is as another, in words that say how sure that is."""

from typing import Final

from secateur.reports.report import Interval
from secateur.text import words

WIDE: Final = 1.5
"""Upper over lower end of an interval of a ratio from which nothing can be said."""


def speed(ratio: Interval) -> str:
    """How many times faster something became, with the 95 % interval.

    >>> values = ((2, 1.9, 2.1), (1, 0.97, 1.02), (1, 0.5, 3))
    >>> fast, level, wide = (Interval(value=value, low=low, high=high) for value, low, high in values)
    >>> tuple(speed(each).replace(words.TIMES, "x") for each in (fast, level, wide))
    ('2.00x faster (1.90 to 2.10)', 'about the same (0.970x to 1.02x)', 'cannot tell on this host (0.500x to 3.00x)')
    """
    if cannot_tell(ratio):
        return f"cannot tell on this host ({times_interval(ratio)})"
    if ratio.low <= 1 <= ratio.high:
        return f"about the same ({times_interval(ratio)})"
    if ratio.value > 1:
        value, low, high, word = ratio.value, ratio.low, ratio.high, "faster"
    else:
        value, low, high, word = 1 / ratio.value, 1 / ratio.high, 1 / ratio.low, "slower"
    return f"{words.three_digits(value)}{words.TIMES} {word} ({words.three_digits(low)} to {words.three_digits(high)})"


def times_interval(ratio: Interval) -> str:
    """The ends of the interval of a ratio."""
    return f"{words.three_digits(ratio.low)}{words.TIMES} to {words.three_digits(ratio.high)}{words.TIMES}"


def cannot_tell(ratio: Interval) -> bool:
    """Whether the interval of a ratio holds 1 and is too wide to call both sides the same."""
    return ratio.low <= 1 <= ratio.high and ratio.high > WIDE * ratio.low
