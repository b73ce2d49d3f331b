"""A search's report as one HTML page, in the look of the others."""

from reporting.pages.page import templates
from reporting.plots.search import trials
from secateur.reports.search import SearchReport
from secateur.text import words
from secateur.text.comparison import capitalized


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
