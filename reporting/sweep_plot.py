"""The plot of a sweep: the metric over sparsity, one line a method, random baselines dashed in the same colour."""

import io
from collections.abc import Callable, Sequence
from typing import Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jobspec.sweep import RANDOM, Point, SweepReport
from reporting import words
from reporting.comparison import capitalized
from reporting.plots import MUTED, SERIES, STYLE, WIDTH, short, svg
from reporting.sensitivity_plot import DOTS_PER_INCH, LIGHT, MARKERS

HEIGHT: Final = 3.8

Colour = Callable[[str], str]


def lines(report: SweepReport) -> str:
    """The plot as one ``<svg>`` element for a page, in the colours of its theme."""
    ends = [found[-1] for name in report.methods if (found := _found(report.of(name)))]
    told = "; ".join(
        f"{end.method}: {words.score(report.metric, end.mean or 0.0)} at {words.grid_point(end.sparsity)}"
        for end in ends
    )
    title = f"{capitalized(report.metric_label)} over sparsity"
    return svg("sweep", lambda figure: _draw(figure, report, lambda c: c), height=HEIGHT, title=title, text=told)


def png(report: SweepReport) -> bytes:
    """The plot as a picture, on white."""
    buffer = io.BytesIO()
    save(lambda figure: _draw(figure, report, LIGHT.__getitem__), buffer, "png", height=HEIGHT)
    return buffer.getvalue()


def svg_file(report: SweepReport) -> str:
    """The plot as a drawing of its own, on white."""
    buffer = io.StringIO()
    save(lambda figure: _draw(figure, report, LIGHT.__getitem__), buffer, "svg", height=HEIGHT)
    return buffer.getvalue()


def save(draw: Callable[[Figure], None], buffer: io.BytesIO | io.StringIO, kind: str, *, height: float) -> None:
    """Draw a figure on white and write it as ``png`` or ``svg``, the same bytes for the same figure."""
    style = {name: LIGHT.get(value, value) if isinstance(value, str) else value for name, value in STYLE.items()}
    nothing = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context(style | {"svg.hashsalt": "plot"}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        draw(figure)
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=nothing)


def _draw(figure: Figure, report: SweepReport, colour: Colour) -> None:
    factor = 100 if words.is_share(report.metric) else 1
    axes = figure.subplots()
    dense = factor * report.baseline.quality.score.value
    axes.axhline(dense, color=colour(MUTED), linewidth=0.8, linestyle=(0, (3, 3)))
    named = [name for name in report.methods if not name.endswith(RANDOM)]
    for number, name in enumerate(named):
        shade, marker = colour(SERIES[number % len(SERIES)]), MARKERS[number % len(MARKERS)]
        _line(axes, _found(report.of(name)), factor, shade, marker, short(name))
        if twin := _found(report.of(name + RANDOM)):
            _line(axes, twin, factor, shade, None, f"{short(name)}, random places")
    axes.set_xlabel("how much goes, in %")
    label = capitalized(report.metric_label)
    axes.set_title(f"{label}, %" if factor == 100 else label, loc="left", fontsize=10, color=colour(MUTED))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.02, y=0.06)
    axes.legend(loc="best", fontsize=9)


def _line(axes: Axes, points: Sequence[Point], factor: int, shade: str, marker: str | None, label: str) -> None:
    """Means over seeds, with their standard deviation as bars."""
    axes.errorbar(
        [100 * point.sparsity for point in points],
        [factor * (point.mean or 0.0) for point in points],
        yerr=[factor * (point.deviation or 0.0) for point in points] if len(points[0].scores) > 1 else None,
        color=shade,
        marker=marker,
        markersize=4,
        linewidth=1.6 if marker else 1.0,
        linestyle="-" if marker else (0, (4, 2)),
        elinewidth=0.9,
        capsize=2,
        label=label,
    )


def _found(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple(point for point in points if point.mean is not None)
