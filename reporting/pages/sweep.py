"""A sweep's report as one HTML page, in the look of the others."""

from reporting.pages.page import templates
from reporting.plots.sweep import lines
from secateur.reports.sweep import SweepReport
from secateur.text import words
from secateur.text.comparison import capitalized
from secateur.text.sweep_scores import score


def html(report: SweepReport) -> str:
    """The page. The same report always gives the same page."""
    return (
        templates()
        .get_template("sweep.html.j2")
        .render(
            report=report,
            figure=lines(report),
            words=words,
            metric=capitalized(report.metric_label),
            sparsities=report.spec.sparsities,
            score=lambda point: score(report, point),
            failed=[trial for trial in report.trials if trial.result is None],
            spec=report.spec.model_dump_json(indent=2),
        )
    )
