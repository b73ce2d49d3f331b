"""A report as one HTML page: no scripts, no network, both themes, readable on paper and on a phone."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from reporting.plots import classes, groups, svg
from secateur.reports.report import Report
from secateur.specs.metrics import METRICS, is_of_values
from secateur.text import words
from secateur.text.comparison import capitalized, has_zeros, lines, lost_channels
from secateur.text.outputs import TITLES, output_lines


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
        num_classes_drawn=len(classes.hardest_hit(report.classes)),
        num_drawn=len(groups.widest(report.groups)),
        hidden_layers=sum(layer.pruned for layer in report.layers) - len(svg.largest_pruned(report.layers)),
        words=words,
        of_values=is_of_values(report.result.quality.metric),
        several=report.result.quality.metric in METRICS["multi_label"],
        metric=capitalized(report.metric_label),
        spec=report.spec.model_dump_json(indent=2),
    )


def templates() -> Environment:
    return Environment(
        loader=PackageLoader("reporting.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _figures(report: Report) -> dict[str, str]:
    drawn = {"sizes": svg.sizes(report), "quality": svg.quality(report), "latency": svg.latency(report)}
    if report.classes:
        drawn["classes"] = classes.classes(report)
    if lost_channels(report):
        drawn["groups"] = groups.groups(report)
    if any(layer.pruned for layer in report.layers):
        drawn["sparsity"] = svg.sparsity(report)
    if report.history:
        drawn["training"] = svg.training(report)
    return drawn
