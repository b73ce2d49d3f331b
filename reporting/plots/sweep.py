"""The plot of a sweep: the metric over sparsity, one line a method, random baselines dashed in the same colour."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.plots import files
from reporting.plots.files import Colour
from reporting.plots.sensitivity import MARKERS
from reporting.plots.svg import MUTED, SERIES, short, svg
from secateur.reports.sweep import Point, SweepReport
from secateur.specs.sweep import RANDOM
from secateur.text import words
from secateur.text.comparison import capitalized

HEIGHT: Final = 3.8


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
    return files.png(lambda figure, colour: _draw(figure, report, colour), height=HEIGHT)


def svg_file(report: SweepReport) -> str:
    """The plot as a drawing of its own, on white."""
    return files.svg_file(lambda figure, colour: _draw(figure, report, colour), height=HEIGHT)


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
