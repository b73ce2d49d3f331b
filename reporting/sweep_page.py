"""A sweep's report as one HTML page, in the look of the others."""

from jobspec.sweep_report import SweepReport
from reporting import words
from reporting.comparison import capitalized
from reporting.page import templates
from reporting.sweep_plot import lines
from reporting.sweep_scores import score


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
