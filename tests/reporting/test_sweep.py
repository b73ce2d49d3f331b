"""A sweep's table, plot, page and words."""

import csv
import io
import re

import pytest

from engine.studies.sweep_verdicts import verdicts
from reporting.pages.sweep import html
from reporting.plots.sweep import png, svg_file
from secateur.protocol.states import JobState
from secateur.reports.report import Variant
from secateur.reports.sweep import SweepReport, TrialResult, points_of
from secateur.specs.sweep import SweepRecipe, Trial
from secateur.text import sweep_csv
from secateur.text.terminal import table
from tests.reporting import factory
from tests.reporting.test_terminal import printed

STEPS = [{"kind": "prune", "schedule": {"kind": "one_shot"}}]
SCORES = {"=w": {0.5: 0.98, 0.7: 0.975, 0.9: 0.6}, "=w, random": {0.5: 0.9, 0.7: 0.5, 0.9: 0.4}}
"""The original has 0.98."""


def scored(value: float) -> Variant:
    variant = factory.report().result
    score = variant.quality.score.model_copy(update={"value": value})
    return variant.model_copy(update={"quality": variant.quality.model_copy(update={"score": score})})


def result(trial: Trial) -> TrialResult:
    shift = 0.01 * trial.seed
    found = scored(SCORES[trial.method][trial.sparsity] - shift)
    return TrialResult(**trial._asdict(), result=found, baseline_p50_ms=found.latency.p50_ms * 2)


@pytest.fixture
def report() -> SweepReport:
    """Two seeds; the last trial was cancelled."""
    recipe = SweepRecipe.model_validate(
        {"methods": {"=w": STEPS}, "sparsities": [0.5, 0.7, 0.9], "seeds": 2, "random_baseline": True}
    )
    trials = tuple(map(result, recipe.trials()))
    trials = (*trials[:-1], TrialResult(**recipe.trials()[-1]._asdict(), state=JobState.CANCELLED))
    made = SweepReport(
        model_name="<b>net",
        metric="accuracy",
        metric_label="accuracy",
        higher_is_better=True,
        baseline=scored(0.98),
        spec=recipe,
        points=tuple(points_of(recipe, trials)),
        trials=trials,
        verdicts=(),
        host=factory.report().host,
        seconds={"trials": 3.0},
    )
    return made.model_copy(update={"verdicts": verdicts(made)})


def test_the_csv_has_a_line_a_trial_and_no_formula(report: SweepReport) -> None:
    rows = list(csv.DictReader(io.StringIO(sweep_csv.csv(report))))

    assert len(rows) == 12
    assert (rows[0]["method"], rows[0]["score"], rows[0]["times_faster"]) == ("'=w", "0.98", "2.0")
    assert (rows[-1]["state"], rows[-1]["score"]) == ("cancelled", "")


def test_the_words_name_the_deepest_point_before_the_first_that_costs_too_much(report: SweepReport) -> None:
    """Means over both seeds: 97.5, 97.0 and 59.5 %."""
    kept, random, failed = report.verdicts

    assert kept.startswith("=w: 70\u00a0% is the most that costs at most one point")
    assert "2.00× faster" in kept or "2×" in kept
    assert "worth most at 70\u00a0%: 97.00\u00a0% against 49.50\u00a0%" in random
    assert failed.startswith("1 of 12 trials have no result. The first, =w, random at 90")


def test_the_page_shows_every_point_and_no_foreign_markup(report: SweepReport) -> None:
    page = html(report)

    assert "<b>net" not in page
    assert "97.50 ± 0.71" in page
    assert page == html(report)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_the_terminal_shows_the_same_points(report: SweepReport) -> None:
    shown = printed(table(report), width=80)

    assert "97.50 ± 0.71" in shown
    assert "accuracy in % over sparsity" in shown


def test_the_pictures_name_the_lines(report: SweepReport) -> None:
    drawn = svg_file(report)

    assert "=w, random places" in drawn
    assert drawn == svg_file(report)
    assert png(report).startswith(b"\x89PNG")
