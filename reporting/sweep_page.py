"""A sweep's report as one HTML page, in the look of the others."""

from jobspec.sweep import Point, SweepReport
from reporting import words
from reporting.comparison import capitalized
from reporting.page import templates
from reporting.sweep_plot import lines


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


def score(report: SweepReport, point: Point) -> str:
    """The mean of a point, with its standard deviation when there is one."""
    if point.mean is None:
        return words.EN_DASH
    told = words.score(report.metric, point.mean)
    if point.deviation is None:
        return told
    spread = 100 * point.deviation if words.is_share(report.metric) else point.deviation
    return f"{told.removesuffix(f'{words.NBSP}%')} ± {spread:.2g}"
