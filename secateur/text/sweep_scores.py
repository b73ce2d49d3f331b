"""The score of a point of a sweep, as text."""

from secateur.reports.sweep import Point, SweepReport
from secateur.text import words


def score(report: SweepReport, point: Point) -> str:
    """The mean of a point, with its standard deviation when there is one."""
    if point.mean is None:
        return words.EN_DASH
    told = words.score(report.metric, point.mean)
    if point.deviation is None:
        return told
    spread = 100 * point.deviation if words.is_share(report.metric) else point.deviation
    return f"{told.removesuffix(f'{words.NBSP}%')} ± {spread:.2g}"
