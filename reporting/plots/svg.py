"""The plots of a report as inline SVG: text stays text, and colours are CSS variables, so that themes apply."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from secateur.reports.report import LayerSparsity, Report, TrainingPoint
from secateur.text import words
from secateur.text.comparison import capitalized, has_zeros

MAX_LAYERS: Final = 40
WIDTH: Final = 5.2
"""Inches. Drawn narrow, so that the text is still readable on a phone."""

# Colours that stand for CSS variables: matplotlib only takes real ones.
INK, MUTED, GRID, BEFORE, AFTER = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES: Final = ("#060606", "#070707", "#080808", "#090909", "#0a0a0a", "#0b0b0b")
VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BEFORE: "--before",
    AFTER: "--after",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)},
}
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def sizes(report: Report) -> str:
    """Bytes of the files, before and after."""
    before, after = report.baseline.sizes, report.result.sizes
    names = [".tflite, gzip", ".tflite", ".keras, gzip", ".keras"]
    fields = ["tflite_gzip_bytes", "tflite_bytes", "keras_gzip_bytes", "keras_bytes"]
    pairs = [(getattr(before, field), getattr(after, field)) for field in fields]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _paired_bars(axes, names, pairs, words.size)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.size(round(value))))
        axes.set_xlabel("bytes")

    told = "; ".join(f"{name}: {words.size(b)} to {words.size(a)}" for name, (b, a) in zip(names, pairs, strict=True))
    return svg("sizes", draw, height=3.4, title="File sizes before and after", text=told)


def latency(report: Report) -> str:
    """Milliseconds a sample, before and after."""
    before, after = report.baseline.latency, report.result.latency
    pairs = [(before.p50_ms, after.p50_ms), (before.p95_ms, after.p95_ms)]
    names = ["median", "95th percentile"]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _paired_bars(axes, names, pairs, words.milliseconds)
        axes.set_xlabel("milliseconds a sample")

    told = "; ".join(
        f"{name}: {words.milliseconds(b)} to {words.milliseconds(a)}" for name, (b, a) in zip(names, pairs, strict=True)
    )
    return svg("latency", draw, height=2.3, title="Latency before and after", text=told)


def quality(report: Report) -> str:
    """The metric with its 95 % interval, before and after."""
    found = [report.baseline.quality, report.result.quality]
    metric, label = found[0].metric, capitalized(report.metric_label)
    factor = 100 if words.is_share(metric) else 1

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, (one, colour) in enumerate(zip(found, (BEFORE, AFTER), strict=True)):
            value, low, high = (factor * x for x in (one.score.value, one.score.low, one.score.high))
            axes.hlines(row, low, high, color=colour, linewidth=2.5)
            axes.vlines([low, high], row - 0.12, row + 0.12, color=colour, linewidth=1.5)
            axes.plot([value], [row], "o", color=colour, markersize=8)
            axes.annotate(
                words.score(metric, one.score.value), (value, row), (0, 10), textcoords="offset points", ha="center"
            )
        axes.set_yticks([0, 1], ["before", "after"])
        axes.set_ylim(1.5, -0.7)
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"{label} in %" if factor == 100 else label)

    told = "; ".join(
        f"{name}: {words.score(metric, one.score.value)}, interval {words.interval(metric, one.score)}"
        for name, one in zip(("before", "after"), found, strict=True)
    )
    return svg("quality", draw, height=2.3, title=f"{label} before and after", text=told)


def sparsity(report: Report) -> str:
    """Share of zeros of the pruned layers, delivered in the file against the target."""
    layers = largest_pruned(report.layers)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = range(len(layers))
        delivered = [100 * (layer.tflite_sparsity or 0.0) for layer in layers]
        targets = [100 * (layer.target or 0.0) for layer in layers]
        axes.barh(rows, delivered, height=0.55, color=AFTER, label="zeros in the .tflite file")
        axes.plot(targets, rows, "|", color=INK, markersize=15, markeredgewidth=2, label="target")
        for row, (layer, value) in enumerate(zip(layers, delivered, strict=True)):
            axes.annotate(
                words.share(layer.tflite_sparsity or 0.0), (value, row), (6, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(rows, [short(layer.name) for layer in layers])
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlim(0, 118)
        axes.set_xticks(range(0, 101, 20))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("weights that are zero, in %")
        _legend(figure, axes)

    told = "; ".join(
        f"{layer.name}: {words.share(layer.tflite_sparsity or 0.0)}, target {words.share(layer.target or 0.0)}"
        for layer in layers
    )
    height = 1.3 + 0.3 * len(layers)
    return svg("sparsity", draw, height=height, title="Zeros by layer, against the target", text=told)


def training(report: Report) -> str:
    """Loss, metric and, where there are zeros, sparsity over the epochs of all steps."""
    points = report.history
    metric, label = report.result.quality.metric, report.metric_label
    factor = 100 if words.is_share(metric) else 1
    unit = ", %" if factor == 100 else ""
    titles = ["loss", f"validation {label}{unit}"] + ["zeros in pruned layers, %"] * has_zeros(report)

    def draw(figure: Figure) -> None:
        rows: Sequence[Axes] = figure.subplots(len(titles), 1, sharex=True)
        epochs = range(1, len(points) + 1)
        line: dict[str, Any] = {"marker": "o" if len(points) <= 20 else "", "markersize": 4}
        rows[0].plot(epochs, [p.loss for p in points], color=BEFORE, label="training", **line)
        rows[0].plot(epochs, [p.val_loss for p in points], color=AFTER, label="validation", **line)
        rows[1].plot(epochs, [factor * p.val_metric for p in points], color=AFTER, **line)
        if len(titles) > 2:
            rows[2].plot(epochs, [100 * p.sparsity for p in points], color=AFTER, **line)
        for axes, title in zip(rows, titles, strict=True):
            axes.set_title(title, loc="left", fontsize=10, color=MUTED)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.margins(y=0.12)
            _mark_steps(axes, points)
        _name_steps(rows[0], points)
        rows[0].legend(loc="upper right", bbox_to_anchor=(1, 1.32), ncols=2, borderaxespad=0, fontsize=10)
        rows[-1].set_xlabel("epoch")
        rows[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))

    last = points[-1]
    told = (
        f"After {len(points)} epochs: loss {last.loss:.4g}, validation loss {last.val_loss:.4g}, "
        f"validation {label} {words.score(metric, last.val_metric)}"
        + (f", zeros {words.share(last.sparsity)}" if has_zeros(report) else "")
    )
    return svg("training", draw, height=0.5 + 1.5 * len(titles), title="Training by epoch", text=told)


def largest_pruned(layers: Sequence[LayerSparsity]) -> list[LayerSparsity]:
    """The pruned layers in the model's order; of very many only those with the most weights."""
    pruned = [layer for layer in layers if layer.pruned]
    shown = {layer.name for layer in sorted(pruned, key=lambda layer: -layer.num_weights)[:MAX_LAYERS]}
    return [layer for layer in pruned if layer.name in shown]


def svg(name: str, draw: Callable[[Figure], None], *, height: float, title: str, text: str) -> str:
    """Draw a figure and return it as one ``<svg>`` element that refers to nothing outside itself.

    Args:
        name: makes the identifiers unique in a page that holds several plots.
        text: the plot in words, for those who cannot see it.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # text stays text: fonts are the reader's, not ours
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embeddable(buffer.getvalue(), name, label=f"{title}. {text}.")


def _embeddable(drawn: str, name: str, *, label: str) -> str:
    content = drawn[drawn.index("<svg") :]
    content = re.sub(r"<(metadata|style)\b.*?</\1>", "", content, flags=re.DOTALL)
    content = content.replace("xlink:href", "href")
    content = re.sub(r'\sid="', f' id="{name}-', content)
    content = content.replace('="#', f'="#{name}-').replace("url(#", f"url(#{name}-")
    for colour, variable in VARIABLES.items():
        content = content.replace(colour, f"var({variable})")
    view = re.search(r'viewBox="[^"]+"', content)
    assert view is not None
    opening = f'<svg {view[0]} role="img" aria-label="{_attribute(label)}">'
    return opening + content[content.index(">") + 1 :]


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _paired_bars(
    axes: Axes, names: Sequence[str], pairs: Sequence[tuple[float, float]], told: Callable[[Any], str]
) -> None:
    """Two horizontal bars a name, each with its value beside it."""
    for index, (label, colour, offset) in enumerate((("before", BEFORE, -0.19), ("after", AFTER, 0.19))):
        values = [pair[index] for pair in pairs]
        places = [row + offset for row in range(len(names))]
        axes.barh(places, values, height=0.36, color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            axes.annotate(told(value), (value, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, 1.22 * max(max(pair) for pair in pairs))
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    figure = axes.figure
    assert isinstance(figure, Figure)
    _legend(figure, axes)


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, borderaxespad=0, handlelength=1)


def _mark_steps(axes: Axes, points: Sequence[TrainingPoint]) -> None:
    """A line where one step ends and the next begins."""
    for index in range(1, len(points)):
        if points[index].step != points[index - 1].step:
            axes.axvline(index + 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))


def _name_steps(axes: Axes, points: Sequence[TrainingPoint]) -> None:
    starts = [i for i, p in enumerate(points) if i == 0 or p.step != points[i - 1].step]
    for start in starts:
        axes.annotate(
            words.step(points[start].step).lower(),
            (start + (0.55 if start else 0.95), 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=MUTED,
        )


def short(name: str) -> str:
    """A layer's name that leaves room for its bar."""
    return name if len(name) <= 22 else f"{name[:10]}…{name[-11:]}"
