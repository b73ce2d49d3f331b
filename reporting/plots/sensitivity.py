"""The plot of a sensitivity report: the metric over sparsity, one line a layer, as inline SVG and as a picture.

Of many layers the most sensitive have colours, marks and names; the others are there, in grey.
"""

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.plots import files
from reporting.plots.files import Colour
from reporting.plots.svg import BEFORE, MUTED, SERIES, short, svg
from secateur.reports.sensitivity import Curves, SensitivityReport
from secateur.text import words
from secateur.text.comparison import capitalized

HEIGHT: Final = 3.6
MARKERS: Final = ("o", "s", "^", "D", "v", "P")


def named_layers(curves: Curves) -> tuple[str, ...]:
    """The layers that have a colour: the most sensitive ones."""
    return curves.by_sensitivity()[: len(SERIES)]


def lines(report: SensitivityReport) -> str:
    """The plot as one ``<svg>`` element."""
    curves = report.curves
    last = words.grid_point(curves.sparsities[-1])
    told = "; ".join(
        f"{name}: {words.score(curves.metric, curves.layers[name][-1])} at {last}" for name in named_layers(curves)
    )
    title = f"{capitalized(report.metric_label)} over sparsity, each layer cut alone"
    return svg("sensitivity", lambda figure: _draw(figure, report, lambda c: c), height=HEIGHT, title=title, text=told)


def png(report: SensitivityReport) -> bytes:
    """The plot as a picture, on white."""
    return files.png(lambda figure, colour: _draw(figure, report, colour), height=HEIGHT)


def _draw(figure: Figure, report: SensitivityReport, colour: Colour) -> None:
    curves, factor = report.curves, 100 if words.is_share(report.curves.metric) else 1
    axes = figure.subplots()
    named = named_layers(curves)
    x = [0.0, *(100 * sparsity for sparsity in curves.sparsities)]

    def values(name: str) -> list[float]:
        return [factor * score for score in (curves.dense, *curves.layers[name])]

    axes.axhline(factor * curves.dense, color=colour(MUTED), linewidth=0.8, linestyle=(0, (3, 3)))
    for name in curves.layers:
        if name not in named:
            axes.plot(x, values(name), color=colour(BEFORE), linewidth=0.9, alpha=0.7)
    for name, shade, marker in zip(named, SERIES, MARKERS, strict=False):
        axes.plot(x, values(name), color=colour(shade), marker=marker, markersize=4, linewidth=1.6, clip_on=False)
    axes.set_xlim(0, x[-1])
    axes.margins(y=0.06)
    axes.set_xlabel("weights of the layer that are zero, in %")
    label = capitalized(report.metric_label)
    axes.set_title(f"{label}, %" if factor == 100 else label, loc="left", fontsize=10, color=colour(MUTED))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    _name_lines(axes, x[-1], [(name, values(name)[-1]) for name in named], [colour(shade) for shade in SERIES])
    rest = len(curves.layers) - len(named)
    if rest:
        told = f"grey: {rest} less sensitive {'layer' if rest == 1 else 'layers'}"
        axes.annotate(told, (0.02, 0.03), xycoords="axes fraction", fontsize=9, color=colour(MUTED))


def _name_lines(axes: Axes, x: float, ends: Sequence[tuple[str, float]], colours: Sequence[str]) -> None:
    """Each line's name at its end, moved up or down where names would lie on each other."""
    low, high = axes.get_ylim()
    shades = dict(zip((name for name, _ in ends), colours, strict=False))
    arrow: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5)}
    for name, end, place in spread(ends, gap=0.075 * (high - low), low=low, high=high):
        axes.annotate(
            short(name),
            (x, end),
            (1.05, (place - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            color=shades[name],
            arrowprops=arrow | {"color": shades[name]},
            annotation_clip=False,
        )


def spread(ends: Sequence[tuple[str, float]], *, gap: float, low: float, high: float) -> list[tuple[str, float, float]]:
    """Names with the heights of their lines and of their labels: at least ``gap`` apart, within the axes if they fit.

    >>> spread([("a", 1.0), ("b", 1.0), ("c", 9.0)], gap=2.0, low=0.0, high=10.0)
    [('a', 1.0, 1.0), ('b', 1.0, 3.0), ('c', 9.0, 9.0)]
    """
    rising = sorted(ends, key=lambda pair: pair[1])
    places: list[float] = []
    for _, end in rising:
        places.append(max(end, places[-1] + gap) if places else max(end, low))
    ceiling = high
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return [(name, end, place) for (name, end), place in zip(rising, places, strict=True)]
