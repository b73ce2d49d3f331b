"""A report as a table in the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from secateur.reports.report import GroupCut, Host, LayerSparsity, Report
from secateur.reports.search import SearchReport
from secateur.reports.sensitivity import SensitivityReport
from secateur.reports.sweep import SweepReport
from secateur.text import sweep_scores, words
from secateur.text.comparison import Line, capitalized, lines, lost_channels
from secateur.text.outputs import TITLES as OUTPUT_TITLES
from secateur.text.outputs import output_lines
from secateur.text.progress import progress as progress

NAME_WIDTH = 16
"""Room for the names of layers that no number may take; longer ones are folded."""

STYLES = {"better": "green", "worse": "red", "same": ""}


def table(report: Report | SensitivityReport | SweepReport | SearchReport) -> RenderableType:
    """The whole report: its numbers, what they mean, and where they were measured.

    >>> from rich.console import Console
    >>> Console().print(table(report))  # doctest: +SKIP
    """
    parts: list[RenderableType]
    if isinstance(report, SensitivityReport):
        parts, where = [_scores_title(report), _scores(report)], _where(report.host)
    elif isinstance(report, SearchReport):
        parts, where = [_comparison(report.best), Text(), _trials(report)], host_line(report.best)
    elif isinstance(report, SweepReport):
        parts, where = [_sweep_title(report), _sweep(report)], _where(report.host)
    else:
        parts, where = [_comparison(report)], host_line(report)
        if report.outputs:
            parts += [Text(), _outputs(report)]
        if lost_channels(report):
            parts += [Text(), _groups(report)]
        if any(layer.pruned for layer in report.layers):
            parts += [Text(), _layers(report)]
    parts += [Text(), *(_bullet(verdict) for verdict in report.verdicts)]
    if isinstance(report, Report) and report.suggestions:
        parts += [Text(), Text("Worth changing", style="bold"), *map(_bullet, report.suggestions)]
    if report.notes:
        parts += [Text(), *(_bullet(note, style="dim") for note in report.notes)]
    return Group(*parts, Text(), Text(where, style="dim"))


def _where(host: Host) -> str:
    return f"Measured on {_machine(host)}."


def _machine(host: Host) -> str:
    onednn = "" if host.onednn is None else f", oneDNN {'on' if host.onednn else 'off'}"
    return f"{host.cpu} ({host.num_cpus} cores, {host.system}{onednn})"


def _scores_title(report: SensitivityReport) -> Text:
    """Not the table's own, which would be wrapped to the width of the table."""
    unit = " in %" if words.is_share(report.curves.metric) else ""
    dense = _bare(report, report.curves.dense)
    return Text(f"{report.model_name}: {report.metric_label}{unit} with one layer cut, {dense} before", style="bold")


def _scores(report: SensitivityReport) -> Table:
    """A line a layer: the metric at every sparsity, those within the tolerance in green."""
    curves = report.curves
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column(
        "layer", overflow="fold", min_width=min(NAME_WIDTH, max(len(layer.name) for layer in report.layers))
    )
    for sparsity in curves.sparsities:
        grid.add_column(words.grid_point(sparsity), justify="right", no_wrap=True)
    grid.add_column("keeps at", justify="right", no_wrap=True)
    for layer in report.layers:
        if layer.scores:
            scores = zip(layer.scores, curves.loss(layer.name), strict=True)
            cells = [
                Text(_bare(report, score), style="green" if lost <= curves.tolerance else "") for score, lost in scores
            ]
            keeps = words.EN_DASH if layer.keeps is None else words.grid_point(layer.keeps)
            grid.add_row(Text(layer.name), *cells, Text(keeps))
    return grid


def _bare(report: SensitivityReport, score: float) -> str:
    """A score without its unit, which the title tells once: six columns of them must fit into a narrow terminal."""
    return words.score(report.curves.metric, score).removesuffix(f"{words.NBSP}%")


def _sweep_title(report: SweepReport) -> Text:
    unit = " in %" if words.is_share(report.metric) else ""
    original = words.score(report.metric, report.baseline.quality.score.value)
    return Text(f"{report.model_name}: {report.metric_label}{unit} over sparsity, {original} before", style="bold")


def _sweep(report: SweepReport) -> Table:
    """A line a sparsity, a column a method: many sparsities must fit into a narrow terminal."""
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("cut", justify="right", no_wrap=True)
    for name in report.methods:
        grid.add_column(Text(name), justify="right", overflow="fold")
    for index, sparsity in enumerate(report.spec.sparsities):
        points = [report.of(name)[index] for name in report.methods]
        grid.add_row(words.grid_point(sparsity), *(sweep_scores.score(report, point) for point in points))
    return grid


def _trials(report: SearchReport) -> Table:
    grid = Table(title="Trials", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    for title in ("cut", report.metric_label, "change", "took"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("within the bound")
    for trial in report.trials:
        score = words.EN_DASH if trial.result is None else words.score(report.metric, trial.result.quality.score.value)
        change = words.EN_DASH if trial.drop is None else words.cost(report.metric, trial.drop)
        told = Text("yes", "green") if trial.met else Text(trial.why or "no")
        grid.add_row(words.grid_point(trial.sparsity), score, change, words.duration(trial.seconds), told)
    return grid


def host_line(report: Report) -> str:
    """Where and how the latency was measured, in one sentence."""
    latency = report.result.latency
    threads = "one thread" if latency.num_threads == 1 else f"{latency.num_threads} threads"
    return (
        f"Latency: one sample at a time, {threads}, {words.count(latency.num_runs)} runs, "
        f"on {_machine(report.host)}. "
        f"{capitalized(report.metric_label)} on {words.count(report.result.quality.num_samples)} {report.tested_on} "
        "samples, all computed by running the .tflite files."
    )


def _comparison(report: Report) -> Table:
    grid = Table(title=escape(report.model_name), title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    grid.add_column("")
    for title in ("before", "after"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("change", overflow="fold")
    for line in lines(report):
        grid.add_row(*_cells(line))
    return grid


def _cells(line: Line) -> tuple[Text, ...]:
    return Text(line.label), Text(line.before), Text(line.after), Text(line.change, style=STYLES[line.tone])


def _outputs(report: Report) -> Table:
    """A line an output of a model with several, the one that is judged in bold."""
    grid = Table(title="Outputs", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    for title in OUTPUT_TITLES[:2]:
        grid.add_column(title, overflow="fold")
    for title in OUTPUT_TITLES[2:]:
        grid.add_column(title, justify="right", no_wrap=True)
    for each, cells in zip(report.outputs, output_lines(report.outputs), strict=True):
        grid.add_row(*(Text(cell, "bold" if each.judged else "") for cell in cells))
    return grid


def _groups(report: Report) -> Table:
    """A line a group, in the order of the graph."""
    grid = Table(title="Channels by group", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    grid.add_column(
        "group", overflow="fold", min_width=min(NAME_WIDTH, max(len(group.name) for group in report.groups))
    )
    for title in ("before", "after", "params saved", "MACs saved"):
        grid.add_column(title, justify="right")
    grid.add_column("left alone because")
    for group in report.groups:
        grid.add_row(*map(Text, _group_cells(group)))
    grid.caption = "Saved: by this group alone, all others whole. A group of several layers goes by its first."
    grid.caption_justify = "left"
    return grid


def _group_cells(group: GroupCut) -> tuple[str, ...]:
    counts = (words.count(group.before), words.count(group.after))
    if group.after == group.before:
        return group.name, *counts, words.EN_DASH, words.EN_DASH, words.whole(group.spared)
    return group.name, *counts, words.count(group.params_saved), words.count(group.macs_saved), ""


def _layers(report: Report) -> Table:
    grid = Table(title="Zeros by layer", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    grid.add_column("layer", overflow="fold")
    for title in ("weights", "target", "in .tflite"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("left alone because")
    for layer in report.layers:
        grid.add_row(*map(Text, _layer_cells(layer)))
    if report.target_sparsity is not None and report.delivered_sparsity is not None:
        total = sum(layer.num_weights for layer in report.layers if layer.pruned)
        overall = (words.share(report.target_sparsity), words.share(report.delivered_sparsity))
        grid.add_section()
        grid.add_row(Text("all pruned layers"), Text(words.count(total)), *map(Text, overall), Text())
    return grid


def _layer_cells(layer: LayerSparsity) -> tuple[str, ...]:
    target = words.share(layer.target) if layer.pruned and layer.target is not None else words.EN_DASH
    delivered = words.EN_DASH if layer.tflite_sparsity is None else words.share(layer.tflite_sparsity)
    return layer.name, words.count(layer.num_weights), target, delivered, layer.reason or ""


def _bullet(text: str, style: str = "") -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("•"), Text(text, style=style))
    return Padding(grid, (0, 0, 0, 1))
