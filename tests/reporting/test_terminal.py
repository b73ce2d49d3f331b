"""The terminal shows the same numbers as the page, and hostile names cannot style it."""

import io
from typing import Any

import pytest
from rich.console import Console

from reporting.pages.page import html
from secateur.protocol.progress import StepProgress
from secateur.reports.report import Report
from secateur.text.comparison import lines
from secateur.text.terminal import progress, table
from tests.reporting import factory


def printed(renderable: Any, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("report", [factory.report(), factory.channels_report()], ids=["zeros", "channels"])
def test_the_table_has_every_line_of_the_comparison(report: Report) -> None:
    """Page and terminal are built from one list; this is the terminal's half."""
    shown = printed(table(report))

    for line in lines(report):
        row = next(row for row in shown.splitlines() if row.strip().startswith(line.label + "  "))
        assert line.before in row
        assert line.after in row
        assert line.change in row


def test_the_table_tells_verdicts_layers_and_host() -> None:
    """Whoever works over ssh never sees the page."""
    report = factory.report()

    shown = " ".join(printed(table(report)).split())

    assert all(verdict in shown for verdict in map(" ".join, (v.split() for v in report.verdicts)))
    assert all(layer.name in shown for layer in report.layers)
    assert report.host.cpu in shown
    assert "Linux 6.18 x86_64, oneDNN on)" in shown


def test_a_report_of_before_onednn_was_stored_says_nothing_of_it() -> None:
    """Reports that are stored stay readable, and nothing is claimed that was not measured."""
    stored = factory.report().model_dump(mode="json")
    del stored["host"]["onednn"]
    report = Report.model_validate(stored)

    shown = printed(table(report)) + html(report)

    assert report.host.onednn is None
    assert "oneDNN" not in shown


def test_the_table_tells_what_became_of_every_group_and_nothing_of_zeros_that_nobody_made() -> None:
    rows = [line.split() for line in printed(table(factory.channels_report())).splitlines()]

    assert ["block_1", "64", "24", "11,720", "5,529,600"] in rows
    assert ["stem", "16", "16", "–", "–", "a", "shortcut", "joins", "it", "(spare)"] in rows
    assert "Zeros by layer" not in [" ".join(row) for row in rows]
    assert not any("zero" in line.label for line in lines(factory.channels_report()))


def test_a_job_that_took_no_channels_has_no_table_of_groups() -> None:
    assert "Channels by group" not in printed(table(factory.report()))


def test_names_are_shown_as_they_are() -> None:
    """Rich reads [red] as a style, and a model may be called that."""
    shown = printed(
        table(factory.report(model_name="[red]name[/red]", layers=(factory.layer("[b]x", "Dense", (2, 2)),)))
    )

    assert "[red]name[/red]" in shown
    assert "[b]x" in shown


def test_a_worse_score_inside_the_interval_is_not_painted_as_worse() -> None:
    """Chance alone moves it that far."""
    inside = factory.report()
    outside = factory.report(
        result=factory.result().model_copy(update={"quality": factory.quality(0.95, 0.94, 0.96, agreement=0.96)})
    )

    assert lines(inside)[0].tone == "same"
    assert lines(outside)[0].tone == "worse"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(StepProgress(name="finetune"), ["·", "Fine-tune"], id="pending"),
        pytest.param(
            StepProgress(
                name="prune",
                state="running",
                progress=0.4,
                eta_seconds=83,
                epoch=2,
                epochs=4,
                metrics={"val_accuracy": 0.971, "loss": 0.0812},
            ),
            ["▸", "Prune", "1 min 23 s left", "epoch 2/4", "val accuracy 97.10 %", "loss 0.0812"],
            id="running",
        ),
        pytest.param(
            StepProgress(name="baseline", state="succeeded", progress=1, seconds=8.0, message="accuracy 98.12 %"),
            ["✓", "Baseline", "8.0 s", "accuracy 98.12 %"],
            id="succeeded",
        ),
        pytest.param(StepProgress(name="quantize", state="failed", progress=0.5), ["✗", "Quantize"], id="failed"),
    ],
)
def test_a_step_shows_what_is_known_of_it(step: StepProgress, expected: list[str]) -> None:
    """Mark, name, time and numbers; and nothing that is not known."""
    shown = printed(progress([step])).replace("\N{NO-BREAK SPACE}", " ")

    assert all(part in shown for part in expected)
    assert "None" not in shown


def test_progress_fits_a_narrow_terminal() -> None:
    """A line that wraps makes a live display jump."""
    running = StepProgress(
        name="finetune_2", state="running", eta_seconds=4000, metrics={f"metric_{i}": 1.0 for i in range(9)}
    )

    shown = printed(progress([running]), width=80)

    assert len(shown.rstrip("\n").splitlines()) == 1


def test_no_steps_are_no_error() -> None:
    """A job that was just accepted may have none to show."""
    assert printed(progress([])).strip() == ""


def test_the_table_tells_every_output_of_a_model_with_several() -> None:
    rows = [line.split() for line in printed(table(factory.outputs_report())).splitlines()]

    assert ["digit", "(judged)", "accuracy", "98.12", "%", "97.89", "%", "−0.23", "points", "99.10", "%"] in rows
    assert ["slant", "no", "labels", "–", "–", "–", "0.9876"] in rows
    assert "Outputs" not in [" ".join(line.split()) for line in printed(table(factory.report())).splitlines()]
