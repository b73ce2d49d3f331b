"""A sensitivity report on the page, as a picture and in the terminal: all numbers, few and many layers."""

import io
import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import pytest
from rich.console import Console

from reporting.pages import sensitivity as pages
from reporting.pages.sensitivity import html, shades
from reporting.plots import files, sensitivity
from secateur.reports.sensitivity import Curves, MeasuredLayer, SensitivityReport
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.text import words
from secateur.text.terminal import table
from tests.reporting import factory
from tests.reporting.test_page import HOSTILE, plots_of, text_of

GRID = (0.5, 0.9, 0.975)


def report(
    num_layers: int = 3, *, metric: str = "accuracy", first: str = "conv_0", **changes: Any
) -> SensitivityReport:
    """A report on that many layers, the later ones less sensitive, and one that was left alone."""
    names = [first, *(f"conv_{number}" for number in range(1, num_layers))]
    share = metric == "accuracy"
    sign, dense = (-1, 0.9) if share else (1, 0.012)
    lost = {name: [dense * cut / (2 * place + 2) for cut in (0.01, 0.2, 0.9)] for place, name in enumerate(names)}
    curves = Curves.model_validate(
        {
            "key": "sha256:1",
            "metric": metric,
            "higher_is_better": share,
            "num_samples": 500,
            "dense": dense,
            "sparsities": GRID,
            "layers": {name: [dense + sign * change for change in changes] for name, changes in lost.items()},
        }
    )
    layers = [
        MeasuredLayer(
            name=name,
            class_name="Conv2D",
            kernel_shape=(3, 3, 8, 16),
            num_weights=1152,
            scores=scores,
            keeps=curves.keeps(name),
        )
        for name, scores in curves.layers.items()
    ]
    alone = MeasuredLayer(name="head", class_name="Dense", kernel_shape=(4, 3), num_weights=12, reason="it is last")
    known: dict[str, Any] = {
        "model_name": "net",
        "metric_label": metric.replace("_", " "),
        "spec": SensitivityRecipe(),
        "curves": curves,
        "layers": (*layers, alone),
        "verdicts": ("The first goes first.",),
        "notes": ("Seen before.",),
        "host": factory.report().host,
        "seconds": {"sensitivity": 61.0},
    }
    return SensitivityReport.model_validate(known | changes)


def printed(given: SensitivityReport, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table(given))
    return " ".join(console.file.getvalue().replace(words.NBSP, " ").split())  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", ["accuracy", "mean_squared_error"])
@pytest.mark.parametrize(
    "shown",
    [lambda r: text_of(html(r)).replace(" %", ""), lambda r: printed(r).replace(" %", "")],
    ids=["page", "terminal"],
)
def test_every_score_is_shown_with_its_layer_and_sparsity(shown: Any, metric: str) -> None:
    """The terminal tells the unit once, above all of them."""
    given = report(metric=metric)
    expected = [words.score(metric, score) for layer in given.layers for score in layer.scores]
    expected += [words.grid_point(sparsity) for sparsity in GRID] + [layer.name for layer in given.layers[:-1]]
    expected += [*given.verdicts, *given.notes, words.score(metric, given.curves.dense), given.host.cpu]

    seen = shown(given)

    assert [text for text in expected if text.replace(f"{words.NBSP}%", "") not in seen] == []


def test_six_columns_of_scores_leave_room_for_names_in_a_narrow_terminal() -> None:
    """Eighty columns are what many terminals have, and names folded every two letters nobody can read."""
    given = report()
    wide = {"sparsities": (0.3, 0.5, 0.7, 0.8, 0.9, 0.95), "layers": {"block_1_expanded": (0.9,) * 6}}
    curves = given.curves.model_copy(update=wide)
    layer = given.layers[0].model_copy(update={"name": "block_1_expanded", "scores": (0.9,) * 6})

    shown = printed(given.model_copy(update={"curves": curves, "layers": (layer,)}), width=80)

    assert "block_1_expanded 90.00 90.00 90.00 90.00 90.00 90.00" in shown


def test_the_page_says_why_a_layer_was_not_measured() -> None:
    assert "it is last" in text_of(html(report()))


def test_the_page_refers_to_nothing_outside_itself_and_trusts_no_name() -> None:
    page = html(report(first=HOSTILE, model_name=HOSTILE))

    assert "<script" not in page
    assert HOSTILE in text_of(page)
    assert re.findall(r"""(?:href|src)=["'](?!#)""", page) == []
    ElementTree.fromstring(plots_of(page)[0])


def test_the_same_report_gives_the_same_page_and_picture() -> None:
    assert html(report()) == html(report())
    assert sensitivity.png(report()) == sensitivity.png(report())


def names_in(svg: str) -> list[str]:
    return [text for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg) if text.startswith(("conv", "grey"))]


def test_few_layers_all_have_names_and_colours_of_the_theme() -> None:
    (svg,) = plots_of(html(report(3)))

    assert sorted(names_in(svg)) == ["conv_0", "conv_1", "conv_2"]
    assert {f"var(--series-{number})" for number in (1, 2, 3)} <= set(re.findall(r"var\(--[a-z0-9-]+\)", svg))
    assert not re.search("#0[0-9a-f]0[0-9a-f]0[0-9a-f]", svg), "a colour that stands for a variable was left"


def test_of_many_layers_the_most_sensitive_have_names_and_the_table_has_all() -> None:
    """Thirty-five names beside a plot are a grey block."""
    page = html(report(35))
    (svg,) = plots_of(page)

    assert sorted(names_in(svg)) == [*(f"conv_{number}" for number in range(6)), "grey: 29 less sensitive layers"]
    assert len(re.findall(r'<th scope="row" class="name">conv_', page)) == 35


def test_names_beside_lines_that_end_alike_do_not_lie_on_each_other() -> None:
    ends = [(name, 5.0) for name in "abcdef"]

    places = [place for _, _, place in sensitivity.spread(ends, gap=1.0, low=0.0, high=6.0)]

    assert all(above - below >= 1.0 for below, above in itertools.pairwise(places))
    assert max(places) <= 6.0


def test_the_picture_has_the_colours_of_the_light_theme() -> None:
    """A picture knows no themes; the page's light theme is written down once more, and must not drift."""
    css = (Path(pages.__file__).parent / "report.css").read_text()
    light = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", css[: css.index("@media")]))

    from reporting.plots.svg import VARIABLES

    assert {VARIABLES[stand_in]: colour for stand_in, colour in files.LIGHT.items()} == {
        variable: light[variable] for variable in VARIABLES.values()
    }
    picture = matplotlib.image.imread(io.BytesIO(sensitivity.png(report())))
    blue = [int(light["--series-1"][at : at + 2], 16) / 255 for at in (1, 3, 5)]
    assert (abs(picture[..., :3] - blue) < 0.01).all(axis=-1).any()
    assert (picture[0, 0, :3] == 1).all()


def test_a_cell_is_the_redder_the_more_is_lost() -> None:
    curves = report().curves

    assert shades(curves, "conv_0") == (1, 22, 100)
    assert shades(curves, "conv_2") < shades(curves, "conv_1")


def test_a_grid_on_which_nothing_is_lost_has_no_red() -> None:
    curves = report().curves
    flat = curves.model_copy(update={"layers": {"a": (curves.dense,) * 3}})

    assert shades(flat, "a") == (0, 0, 0)
