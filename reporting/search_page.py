"""A search's report as one HTML page, in the look of the others."""

from jobspec.search_report import SearchReport
from reporting import words
from reporting.comparison import capitalized
from reporting.page import templates
from reporting.search_plot import trials


def html(report: SearchReport) -> str:
    """The page. The same report always gives the same page."""
    return (
        templates()
        .get_template("search.html.j2")
        .render(
            report=report,
            figure=trials(report),
            words=words,
            metric=capitalized(report.metric_label),
            spec=report.spec.model_dump_json(indent=2),
        )
    )
