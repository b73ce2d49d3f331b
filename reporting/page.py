"""A report as one HTML page: no scripts, no network, both themes, readable on paper and on a phone."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from jobspec.metrics import METRICS, is_of_values
from jobspec.report import Report
from reporting import classes_plot, groups_plot, plots, words
from reporting.comparison import capitalized, has_zeros, lines, lost_channels
from reporting.outputs import TITLES, output_lines


def html(report: Report) -> str:
    """The page. The same report always gives the same page."""
    page = templates().get_template("report.html.j2")
    return page.render(
        report=report,
        lines=lines(report),
        figures=_figures(report),
        outputs=output_lines(report.outputs),
        output_titles=TITLES,
        has_zeros=has_zeros(report),
        has_rates=any(point.learning_rate is not None for point in report.history),
        num_classes_drawn=len(classes_plot.hardest_hit(report.classes)),
        num_drawn=len(groups_plot.widest(report.groups)),
        hidden_layers=sum(layer.pruned for layer in report.layers) - len(plots.largest_pruned(report.layers)),
        words=words,
        of_values=is_of_values(report.result.quality.metric),
        several=report.result.quality.metric in METRICS["multi_label"],
        metric=capitalized(report.metric_label),
        spec=report.spec.model_dump_json(indent=2),
    )


def templates() -> Environment:
    return Environment(
        loader=PackageLoader("reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _figures(report: Report) -> dict[str, str]:
    drawn = {"sizes": plots.sizes(report), "quality": plots.quality(report), "latency": plots.latency(report)}
    if report.classes:
        drawn["classes"] = classes_plot.classes(report)
    if lost_channels(report):
        drawn["groups"] = groups_plot.groups(report)
    if any(layer.pruned for layer in report.layers):
        drawn["sparsity"] = plots.sparsity(report)
    if report.history:
        drawn["training"] = plots.training(report)
    return drawn
