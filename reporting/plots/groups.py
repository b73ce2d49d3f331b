"""The picture of what became of every group of channels: as wide as it was, as strong as what is left."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from reporting.plots.svg import AFTER, BEFORE, INK, MUTED, short, svg
from secateur.reports.report import GroupCut, Report
from secateur.text import words

MAX_GROUPS: Final = 40


def groups(report: Report) -> str:
    """Channels of each group before and after, in the order of the graph; what was left alone is only hinted at."""
    shown = widest(report.groups)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, group in enumerate(shown):
            cut = group.after < group.before
            if cut:
                axes.barh(row, group.before, height=0.6, color=BEFORE, alpha=0.55)
                axes.barh(row, group.after, height=0.6, color=AFTER)
            else:
                axes.barh(row, group.before, height=0.56, facecolor="none", edgecolor=MUTED, linewidth=0.8)
            place = (group.before, row)
            colour = INK if cut else MUTED
            axes.annotate(_told(group), place, (6, 0), textcoords="offset points", va="center", color=colour)
        axes.set_yticks(range(len(shown)), [short(group.name) for group in shown])
        for label, group in zip(axes.get_yticklabels(), shown, strict=True):
            if group.after == group.before:
                label.set_color(MUTED)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1.28 * max(group.before for group in shown))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("channels")

    told = "; ".join(f"{group.name}: {_told(group)}" for group in shown)
    height = 0.7 + 0.28 * len(shown)
    return svg("groups", draw, height=height, title="Channels of each group before and after", text=told)


def widest(groups: Sequence[GroupCut]) -> list[GroupCut]:
    """The groups in the model's order; of very many those that were cut first, then those with the most channels."""
    ranked = sorted(range(len(groups)), key=lambda at: (groups[at].after == groups[at].before, -groups[at].before))
    return [groups[at] for at in sorted(ranked[:MAX_GROUPS])]


def _told(group: GroupCut) -> str:
    if group.after == group.before:
        return words.count(group.before)
    return f"{words.count(group.before)} \N{RIGHTWARDS ARROW} {words.count(group.after)}"
