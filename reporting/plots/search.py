"""The plot of a search: the metric of every trial over its sparsity, those that met the bound filled, and the bound."""

from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.plots import files
from reporting.plots.files import Colour
from reporting.plots.svg import AFTER, INK, MUTED, svg
from secateur.reports.search import SearchReport
from secateur.text import words
from secateur.text.comparison import capitalized

HEIGHT: Final = 3.4


def trials(report: SearchReport) -> str:
    """The plot as one ``<svg>`` element for a page, in the colours of its theme."""
    told = f"the best of {len(report.trials)} trials: {words.grid_point(report.sparsity)}"
    title = f"{capitalized(report.metric_label)} of every trial"
    return svg("search", lambda figure: _draw(figure, report, lambda c: c), height=HEIGHT, title=title, text=told)


def png(report: SearchReport) -> bytes:
    """The plot as a picture, on white."""
    return files.png(lambda figure, colour: _draw(figure, report, colour), height=HEIGHT)


def svg_file(report: SearchReport) -> str:
    """The plot as a drawing of its own, on white."""
    return files.svg_file(lambda figure, colour: _draw(figure, report, colour), height=HEIGHT)


def _draw(figure: Figure, report: SearchReport, colour: Colour) -> None:
    factor = 100 if words.is_share(report.metric) else 1
    axes = figure.subplots()
    dense = report.baseline.quality.score.value
    bound = dense - (1 if report.higher_is_better else -1) * report.spec.goals.max_accuracy_drop
    axes.axhline(factor * dense, color=colour(MUTED), linewidth=0.8, linestyle=(0, (3, 3)), label="the original")
    axes.axhline(factor * bound, color=colour(INK), linewidth=0.9, label="the bound")
    for met, label in ((True, "within the bound"), (False, "outside")):
        found = [trial for trial in report.trials if trial.result is not None and trial.met == met]
        axes.plot(
            [100 * trial.sparsity for trial in found],
            [factor * trial.result.quality.score.value for trial in found if trial.result is not None],
            linestyle="none",
            marker="o",
            markersize=6,
            markeredgecolor=colour(AFTER),
            markerfacecolor=colour(AFTER) if met else "none",
            label=label,
        )
    axes.set_xlabel("how much goes, in %")
    label = capitalized(report.metric_label)
    axes.set_title(f"{label}, %" if factor == 100 else label, loc="left", fontsize=10, color=colour(MUTED))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.06, y=0.1)
    axes.legend(loc="best", fontsize=9)
