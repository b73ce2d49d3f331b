"""Numbers as text. All rounding happens here, so that one number reads the same wherever it is shown."""

from typing import Final

from secateur.reports.report import ClassRecall, Interval, Quality
from secateur.specs.metrics import SHARES, higher_is_better, is_of_values

MINUS: Final = "\N{MINUS SIGN}"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
NBSP: Final = "\N{NO-BREAK SPACE}"
EN_DASH: Final = "\N{EN DASH}"
ABOUT_EQUAL: Final = 0.02
"""Ratios this near to one are told as no change: gzip and latency waver by as much."""


def one_line(text: str, *, most: int) -> str:
    """A stranger's text where there is room for a few words: no line ends, nothing that is not seen, not too long.

    >>> one_line("tabby \\n cat\\u202e", most=20), one_line("a" * 9, most=5)
    ('tabby cat', 'aaaa…')
    """
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * most]).split())
    return plain if len(plain) <= most and len(text) <= 4 * most else f"{plain[: most - 1]}…"


def class_name(each: ClassRecall) -> str:
    """A class in a sentence: its name, and its number where it has one beside.

    >>> class_name(ClassRecall(name="3", called="cat", num_samples=1, before=1.0, after=1.0))
    "'cat' (3)"
    """
    return each.name if each.called is None else f"{each.called!r} ({each.name})"


def count(number: int) -> str:
    """
    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def size(num_bytes: int) -> str:
    """Bytes in decimal units, three digits.

    >>> size(2624210).replace(NBSP, " "), size(999).replace(NBSP, " ")
    ('2.62 MB', '999 B')
    """
    value, unit = float(num_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{num_bytes}{NBSP}B" if unit == "B" else f"{three_digits(value)}{NBSP}{unit}"


def amount(number: int) -> str:
    """A number too large to read, three digits of it.

    >>> [amount(value).replace(NBSP, " ") for value in (81_234, 963_312, 3_864_000_000)]
    ['81,234', '0.963 M', '3.86 G']
    """
    for name, unit, least in (("G", 1e9, 999.5e6), ("M", 1e6, 99.95e3)):
        if number >= least:
            return f"{three_digits(number / unit)}{NBSP}{name}"
    return count(number)


def exact_size(num_bytes: int) -> str:
    """
    >>> exact_size(2624210).replace(NBSP, " ")
    '2,624,210 bytes'
    """
    return f"{num_bytes:,}{NBSP}bytes"


def share(fraction: float) -> str:
    """A fraction in percent, two decimals.

    >>> share(0.98765).replace(NBSP, " ")
    '98.77 %'
    """
    return f"{_signless(fraction * 100, 2)}{NBSP}%"


def percent(fraction: float) -> str:
    """A fraction in whole percent, for sentences and for what is only about right.

    >>> [percent(value).replace(NBSP, " ") for value in (0.504, 0.996, 0.002, 1.0)]
    ['50 %', '99.6 %', '0.2 %', '100 %']
    """
    whole = 0.01 <= fraction <= 0.99 or fraction in (0.0, 1.0)
    return f"{100 * fraction:.{0 if whole else 1}f}{NBSP}%"


def duration(seconds: float) -> str:
    """
    >>> [duration(value).replace(NBSP, " ") for value in (0.04, 7.25, 83, 4000)]
    ['0.0 s', '7.2 s', '1 min 23 s', '1 h 06 min']
    """
    if seconds < 59.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02}{NBSP}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes:02}{NBSP}min"


def milliseconds(ms: float) -> str:
    """Three digits, so that fast models are not all 0.0.

    >>> milliseconds(0.01234).replace(NBSP, " "), milliseconds(12.34).replace(NBSP, " ")
    ('0.0123 ms', '12.3 ms')
    """
    return f"{three_digits(ms)}{NBSP}ms"


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction that reads best in percent."""
    return metric in SHARES


def score(metric: str, value: float) -> str:
    """A value of a metric: accuracy in percent, errors as they are.

    >>> score("accuracy", 0.9785).replace(NBSP, " "), score("mean_squared_error", 0.0123456)
    ('97.85 %', '0.01235')
    """
    return share(value) if is_share(metric) else f"{value:.4g}".replace("-", MINUS)


def agreement(metric: str, value: float) -> str:
    """How alike two models decide: a share of samples for classes, of labels, R squared for values.

    >>> agreement("accuracy", 0.991).replace(NBSP, " "), agreement("mean_squared_error", 0.99912)
    ('99.10 %', '0.9991')
    """
    return f"{value:.4f}".replace("-", MINUS) if is_of_values(metric) else share(value)


def loss(value: float) -> str:
    """
    >>> loss(0.0512345)
    '0.05123'
    """
    return f"{value:.4g}".replace("-", MINUS)


def rate(value: float | None) -> str:
    """A learning rate; unknown in reports from before it was kept.

    >>> rate(0.0002468), rate(None)
    ('0.000247', '–')
    """
    return EN_DASH if value is None else f"{value:.3g}"


def interval(metric: str, found: Interval) -> str:
    """The two ends of an interval.

    >>> interval("accuracy", Interval(value=0.9, low=0.88, high=0.92)).replace(NBSP, " ")
    '88.00–92.00 %'
    """
    if is_share(metric):
        return f"{_signless(found.low * 100, 2)}{EN_DASH}{share(found.high)}"
    return f"{score(metric, found.low)} to {score(metric, found.high)}"


def cost(metric: str, lost: float) -> str:
    """The change of a score that has lost so much: a share falls by points, an error rises, all else falls.

    >>> cost("accuracy", 0.123).replace(NBSP, " ").replace(MINUS, "-"), cost("mean_squared_error", 0.5)
    ('-12.30 points', '+0.5')
    """
    if is_share(metric):
        return f"{_signed(-100 * lost, 2)}{NBSP}points"
    risen = -lost if higher_is_better(metric) else lost
    return f"{risen:+.4g}".replace("-", MINUS) if lost else "unchanged"


def tolerance(metric: str) -> str:
    """What counts as no loss, see ``Curves.tolerance``.

    >>> [tolerance(metric) for metric in ("accuracy", "auc", "mean_squared_error")]
    ['one point', '0.01', 'a tenth of the error']
    """
    if is_share(metric):
        return "one point"
    return "0.01" if higher_is_better(metric) else "a tenth of the error"


def likeness(metric: str) -> str:
    """What the agreement with the original is called.

    >>> likeness("f1"), likeness("r2")
    ('Agreement with the original', 'R² against the original')
    """
    return "R² against the original" if is_of_values(metric) else "Agreement with the original"


def grid_point(sparsity: float) -> str:
    """A sparsity that somebody chose, without digits that say nothing.

    >>> grid_point(0.3).replace(NBSP, " "), grid_point(0.975).replace(NBSP, " ")
    ('30 %', '97.5 %')
    """
    return f"{100 * sparsity:.4g}{NBSP}%"


def score_change(before: Quality, after: Quality) -> str:
    """The difference of two scores: points for shares.

    >>> quality = Quality(metric="accuracy", higher_is_better=True, num_samples=9, agreement=1,
    ...                   score=Interval(value=0.9, low=0.8, high=1))
    >>> worse = quality.model_copy(update={"score": Interval(value=0.895, low=0.8, high=1)})
    >>> score_change(quality, worse).replace(NBSP, " ").replace(MINUS, "-")
    '-0.50 points'
    """
    change = after.score.value - before.score.value
    if is_share(after.metric):
        return f"{_signed(change * 100, 2)}{NBSP}points"
    return f"{change:+.4g}".replace("-", MINUS) if change else "unchanged"


def times(before: float, after: float, less: str = "smaller", more: str = "larger") -> str:
    """How many times less something became, or more.

    >>> times(100, 8).replace(TIMES, "x"), times(4, 5).replace(TIMES, "x"), times(100, 99)
    ('12.5x smaller', '1.25x larger', 'about the same')
    """
    if after <= 0 or before <= 0:
        return EN_DASH
    ratio = before / after
    if abs(ratio - 1) < ABOUT_EQUAL:
        return "about the same" if before != after else "unchanged"
    return f"{three_digits(ratio)}{TIMES} {less}" if ratio > 1 else f"{three_digits(1 / ratio)}{TIMES} {more}"


def whole(spared: str | None) -> str:
    """Why a group of channels is as wide as before."""
    return spared or "nothing of it was taken"


def step(name: str) -> str:
    """The name of a step in words.

    >>> step("finetune"), step("prune_2"), step("measure")
    ('Fine-tune', 'Prune 2', 'Measure')
    """
    kind, _, number = name.partition("_")
    return " ".join(filter(None, ({"finetune": "Fine-tune"}.get(kind, kind.capitalize()), number.replace("_", " "))))


def three_digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    decimals = next((digits for bound, digits in ((99.95, 0), (9.995, 1), (0.9995, 2)) if abs(value) >= bound), None)
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    leading = f"{abs(value):.2e}".partition("e-")[2]
    return f"{value:.{int(leading) + 2}f}"


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return f"{0:.{decimals}f}" if float(text) == 0 else text.replace("-", MINUS)


def _signless(value: float, decimals: int) -> str:
    """Without the minus of a value that rounds to zero."""
    text = f"{value:.{decimals}f}"
    return f"{0:.{decimals}f}" if float(text) == 0 else text.replace("-", MINUS)
