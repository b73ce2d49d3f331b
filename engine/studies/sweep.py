"""The two parts of a sweep that need the engine: measure the baseline once, and gather the results of the trials."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import keras
from pydantic import ValidationError

from engine.evaluation.host import host
from engine.pipeline.clock import Clock
from engine.pipeline.preflight import check_steps
from engine.run import baseline
from engine.run.load import load
from engine.studies.sweep_verdicts import verdicts
from reporting.pages.sweep import html
from reporting.plots.sweep import png, svg_file
from secateur.errors import InternalError, SecateurError, TargetUnreachable, TrialsFailed
from secateur.protocol.progress import TRIALS, Event, ProducedFile, StepFinished, StepStarted
from secateur.protocol.work import EndedTrial, GatherTrials
from secateur.reports.report import Report
from secateur.reports.sweep import SweepReport, TrialResult, points_of
from secateur.specs.reading import Reading
from secateur.specs.sweep import SweepRecipe, Trial
from secateur.text.sweep_csv import csv

FILES: Final = (
    ProducedFile(name="sweep.csv", media_type="text/csv; charset=utf-8"),
    ProducedFile(name="sweep.png", media_type="image/png"),
    ProducedFile(name="sweep.svg", media_type="image/svg+xml"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)

MAX_REPORT_BYTES: Final = 64 << 20


def measure_baseline(
    recipe: SweepRecipe, *, model: Path, dataset: Path, reading: Reading, out: Path, emit: Callable[[Event], None]
) -> tuple[ProducedFile, ...]:
    """Measure the baseline for all trials, and refuse steps that cannot work at any sparsity.

    Args:
        recipe: the methods, sparsities and seeds of the sweep.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set; ``recipe.data.scale`` overrides its scale.
        out: an existing folder, for the baseline file.
        emit: called with the events of every step.

    Raises:
        RequestError: the model, the data or the methods cannot work.
    """
    keras.utils.set_random_seed(recipe.seed)
    clock = Clock(emit)
    with clock.step("baseline") as message, tempfile.TemporaryDirectory() as scratch:
        run = load(recipe.recipe_of(recipe.trials()[0]), model=model, dataset=dataset, reading=reading, asked=recipe)
        for name in recipe.methods:
            trial = Trial(name, recipe.sparsities[-1], recipe.seed)
            with suppress(TargetUnreachable):  # trials may reach a lower sparsity
                check_steps(run.with_recipe(recipe.recipe_of(trial)))
        found = baseline.measured(run, Path(scratch))
        baseline.save(run, found, out / baseline.FILE.name)
        message.append(f"{found.quality.metric.replace('_', ' ')} {found.quality.score.value:.4f}")
    return (baseline.FILE,)


def gather(
    recipe: SweepRecipe, given: GatherTrials, *, out: Path, emit: Callable[[Event], None]
) -> tuple[ProducedFile, ...]:
    """Make the table and the plot of a sweep whose trials have ended, and write ``FILES`` to a folder.

    Args:
        given: the trials in the order of ``recipe.trials()``, and the baseline.

    Raises:
        TrialsFailed: no trial has a result, for a reason that the user can change.
        InternalError: no trial has a result, by a fault of the service.
    """
    clock, ended = Clock(emit), given.trials
    emit(StepStarted(step=TRIALS))
    reports = [None if each.report is None else _read(Path(each.report)) for each in ended]
    found = [report for report in reports if report is not None]
    if not found:
        raise _all_failed(ended)
    message = f"{len(found)} of {len(ended)} succeeded"
    emit(StepFinished(step=TRIALS, seconds=given.seconds, message=message))
    with clock.step("report"):
        name, original = baseline.seen(Path(given.baseline))
        results = tuple(_results(recipe, ended, reports))
        report = SweepReport(
            model_name=name,
            metric=original.quality.metric,
            metric_label=found[0].metric_label,
            higher_is_better=original.quality.higher_is_better,
            baseline=original,
            spec=recipe,
            points=tuple(points_of(recipe, results)),
            trials=results,
            verdicts=(),
            notes=tuple(note for note in found[0].notes if all(note in report.notes for report in found)),
            host=host(),
            seconds={TRIALS: given.seconds},
        )
        report = report.model_copy(update={"verdicts": verdicts(report)})
        (out / "sweep.csv").write_text(csv(report))
        (out / "sweep.png").write_bytes(png(report))
        (out / "sweep.svg").write_text(svg_file(report))
        (out / "report.html").write_text(html(report))
    (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    return FILES


def _read(path: Path) -> Report | None:
    """The report of a trial; None if another version wrote it, or if code in the model has forged it."""
    if path.stat().st_size > MAX_REPORT_BYTES:
        return None
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def _results(
    recipe: SweepRecipe, ended: Sequence[EndedTrial], reports: Sequence[Report | None]
) -> Iterator[TrialResult]:
    for trial, each, report in zip(recipe.trials(), ended, reports, strict=True):
        yield TrialResult(
            **trial._asdict(),
            job_id=each.job_id,
            state=each.state,
            result=None if report is None else report.result,
            baseline_p50_ms=None if report is None else report.baseline.latency.p50_ms,
            failure=each.failure,
        )


def _all_failed(ended: Sequence[EndedTrial]) -> SecateurError:
    first = next((each.failure for each in ended if each.failure is not None), None)
    if first is None:
        return TrialsFailed("All trials were cancelled, or expired before a worker started them.")
    detail = f"All {len(ended)} trials failed. The first failure: {first.title}. {first.detail}"
    if first.blame == "service":
        return InternalError(detail, suggestions=first.suggestions)
    return TrialsFailed(detail, errors=first.errors, suggestions=first.suggestions)
