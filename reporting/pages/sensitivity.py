"""A sensitivity report as one HTML page, in the look of the compression report."""

from reporting.pages.page import templates
from reporting.plots.sensitivity import lines, named_layers
from secateur.reports.sensitivity import Curves, SensitivityReport
from secateur.text import words
from secateur.text.comparison import capitalized


def html(report: SensitivityReport) -> str:
    """The page. The same report always gives the same page."""
    curves = report.curves
    return (
        templates()
        .get_template("sensitivity.html.j2")
        .render(
            report=report,
            curves=curves,
            measured=[layer for layer in report.layers if layer.scores],
            alone=[layer for layer in report.layers if not layer.scores],
            shades={name: shades(curves, name) for name in curves.layers},
            order=curves.by_sensitivity(),
            num_named=len(named_layers(curves)),
            figure=lines(report),
            words=words,
            metric=capitalized(report.metric_label),
            spec=report.spec.model_dump_json(indent=2),
        )
    )


def shades(curves: Curves, name: str) -> tuple[int, ...]:
    """How strongly each cell of a layer's row is coloured, in percent of the loss that colours it fully.

    >>> curves = Curves(key="", metric="accuracy", higher_is_better=True, num_samples=8, dense=0.75,
    ...                 sparsities=(0.5, 0.9), layers={"a": (0.76, 0.5), "b": (0.75, 0.25)})
    >>> shades(curves, "a"), shades(curves, "b")
    ((0, 50), (0, 100))
    """
    worst = max(max(curves.loss(other)) for other in curves.layers)
    return tuple(round(100 * max(0.0, lost) / worst) if worst > 0 else 0 for lost in curves.loss(name))
