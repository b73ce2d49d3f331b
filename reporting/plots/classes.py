"""The picture of what is found of each class before and after: of many those that lost most."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from reporting.plots.svg import AFTER, BEFORE, INK, MUTED, short, svg
from secateur.reports.report import ClassRecall, Report
from secateur.text import words

MAX_CLASSES: Final = 20


def classes(report: Report) -> str:
    """The share of each class that is found, a row a class, the one that lost most first."""
    shown = hardest_hit(report.classes)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, each in enumerate(shown):
            before, after = 100 * each.before, 100 * each.after
            axes.hlines(row, min(before, after), max(before, after), color=MUTED, linewidth=1.5, zorder=2)
            axes.plot([before], [row], "o", color=BEFORE, markersize=8, label="before" if row == 0 else None)
            axes.plot([after], [row], "o", color=AFTER, markersize=6, label="after" if row == 0 else None)
            axes.annotate(
                _told(each),
                (max(before, after), row),
                (9, 0),
                textcoords="offset points",
                va="center",
                color=INK if each.lost_much else MUTED,
            )
        axes.set_yticks(range(len(shown)), [short(each.called or each.name) for each in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        least = min(min(each.before, each.after) for each in shown)
        start = max(0, int(10 * (10 * least - 0.5)))  # whole tens, with room for the smallest dot
        start -= start % 10
        axes.set_xlim(start - 0.03 * (100 - start), 100 + 0.38 * (100 - start))
        axes.set_xticks(range(start, 101, 20 if start < 40 else 10 if start < 80 else 5))
        axes.set_xlabel("found of the class, in %")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, borderaxespad=0)

    told = "; ".join(f"{words.class_name(each)}: {_told(each)}" for each in shown)
    return svg("classes", draw, height=1.2 + 0.28 * len(shown), title="Found of each class before and after", text=told)


def hardest_hit(classes: Sequence[ClassRecall]) -> list[ClassRecall]:
    """Those that are drawn, the one that lost most first; of equals the one that is named first."""
    return sorted(classes, key=lambda each: each.after - each.before)[:MAX_CLASSES]


def _told(each: ClassRecall) -> str:
    return f"{100 * each.before:.1f} \N{RIGHTWARDS ARROW} {100 * each.after:.1f} %"
