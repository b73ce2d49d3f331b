"""Plots as files of their own, on white: the same bytes for the same plot. Within a page they follow its theme."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import matplotlib
from matplotlib.figure import Figure

from reporting.plots.svg import AFTER, BEFORE, GRID, INK, MUTED, SERIES, STYLE, WIDTH

DOTS_PER_INCH: Final = 200

LIGHT: Final[Mapping[str, str]] = {
    INK: "#16191d",
    MUTED: "#5a636e",
    GRID: "#d9dde3",
    BEFORE: "#9aa5b3",
    AFTER: "#0b7a75",
    **dict(zip(SERIES, ("#0063a6", "#c04a00", "#00785a", "#a3418a", "#8a6a00", "#5b3fa8"), strict=True)),
}
"""The colours of the page's light theme, for pictures, which know no themes."""

Colour = Callable[[str], str]
"""The colour of a stand-in such as ``INK``."""

Draw = Callable[[Figure, Colour], None]


def png(draw: Draw, *, height: float) -> bytes:
    """The plot as a picture. ``height`` in inches."""
    return _saved(draw, "png", height, metadata={"Software": None})


def svg_file(draw: Draw, *, height: float) -> str:
    """The plot as a drawing. ``height`` in inches."""
    return _saved(draw, "svg", height, metadata={"Date": None, "Creator": None}).decode()


def _saved(draw: Draw, kind: str, height: float, *, metadata: Mapping[str, None]) -> bytes:
    style = {name: LIGHT.get(value, value) if isinstance(value, str) else value for name, value in STYLE.items()}
    buffer = io.BytesIO()
    with matplotlib.rc_context(style | {"svg.hashsalt": "plot"}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        draw(figure, LIGHT.__getitem__)
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=dict(metadata))
    return buffer.getvalue()
