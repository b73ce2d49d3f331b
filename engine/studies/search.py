"""A search: bisection for the highest sparsity whose exported file still meets the goals.

Every trial runs the steps of a compress job with that sparsity on a copy of the model. Its exported file is measured
on the test split. If the steps train, a trial starts from the best trial so far that met the goals.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import keras

from engine.arrays import Array
from engine.checkpoint.sections import Checkpoint, Section, as_array, bytes_as_array, from_array
from engine.checkpoint.variables import load_variables, variables_state
from engine.evaluation import measure
from engine.evaluation.host import host
from engine.models.model import copy_of
from engine.pipeline.clock import Clock
from engine.pipeline.compress import FILES as TRIAL_FILES
from engine.pipeline.compress import carry_out
from engine.pipeline.preflight import check_steps
from engine.pipeline.runner import Runner
from engine.run import baseline
from engine.run.context import Run
from engine.steps.finetune import trains
from engine.studies.search_errors import all_failed, goals_missed
from engine.studies.search_verdicts import verdicts
from engine.training.progress import Advance
from reporting.pages.search import html
from reporting.plots.search import png, svg_file
from secateur.errors import RequestError, SparsityMissed, TargetUnreachable
from secateur.protocol.progress import Event, ProducedFile
from secateur.reports.report import Report
from secateur.reports.search import SearchReport, SearchTrial, next_sparsity
from secateur.specs.channels import PruneChannels
from secateur.specs.reading import Reading
from secateur.specs.search import SearchRecipe
from secateur.text import words

FILES: Final = (
    *TRIAL_FILES[:2],
    ProducedFile(name="best.html", media_type="text/html; charset=utf-8"),
    ProducedFile(name="search.png", media_type="image/png"),
    ProducedFile(name="search.svg", media_type="image/svg+xml"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)

USUAL: Final = 8
"""Trials until the default resolution is reached; used to estimate how long a search takes."""


def search(
    recipe: SearchRecipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    out: Path,
    emit: Callable[[Event], None],
    known: Sequence[Path] = (),
    checkpoint: Checkpoint | None = None,
    job_id: str | None = None,
) -> tuple[ProducedFile, ...]:
    """Search and write ``FILES`` to a folder: the best file, its own report as ``best.html``, and all trials.

    Args:
        recipe: the steps of every trial, the goals and the budget.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set; ``recipe.data.scale`` overrides its scale.
        out: an existing folder.
        emit: called with the events of every step.
        known: ``sensitivity.json`` of earlier jobs, newest first; measurements that fit are reused.
        checkpoint: where to resume from, and where to save the state.
        job_id: for the report; None outside the service.

    Raises:
        RequestError: the model, the data or the recipe cannot work.
        GoalsMissed: no trial met the goals, and ``on_goals_missed`` is fail.
        TrialsFailed: every trial failed.
    """
    runner = Runner.start(recipe.seed, emit, checkpoint)
    clock, highest = runner.clock, recipe.recipe_of(recipe.highest)
    with tempfile.TemporaryDirectory() as folder:
        files = {"model": model, "dataset": dataset}
        with runner.loaded(highest, **files, reading=reading, asked=recipe, job_id=job_id) as (run, message):
            with suppress(TargetUnreachable):  # trials may reach a lower sparsity
                if not runner.checkpoint.is_resumed:
                    check_steps(run)
            before = runner.baseline(run, message)
        bisection = Bisection(recipe, run, before, Path(folder), clock.advance("search"), known)
        with (
            clock.step("search") as message,
            runner.saving(baseline=lambda: baseline.state_dict(run, before), search=bisection.state_dict),
        ):
            bisection.load_state_dict(runner.checkpoint.restore("search"))
            stopped_by = bisection.run_trials()
            best = bisection.best
            if best is None:
                raise all_failed(bisection.trials)
            message.append(f"{len(bisection.trials)} trials, best {words.grid_point(best.trial.sparsity)}")
        if not best.trial.met and recipe.on_goals_missed == "fail":
            raise goals_missed(recipe, bisection.trials, best.trial)
        with clock.step("report"):
            report = _report(recipe, run, best, bisection.trials, stopped_by, clock.seconds)
            for file in TRIAL_FILES[:2]:
                shutil.copy(best.folder / file.name, out / file.name)
            shutil.copy(best.folder / "report.html", out / "best.html")
            (out / "search.png").write_bytes(png(report))
            (out / "search.svg").write_text(svg_file(report))
            (out / "report.html").write_text(html(report))
        (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    return FILES


@dataclass(frozen=True)
class Found:
    """A trial with a result: its report, its model, and the folder of its files."""

    trial: SearchTrial
    report: Report
    model: Any
    """None if an earlier process made it and no later trial starts from it."""
    folder: Path


@dataclass
class Bisection:
    """Runs one trial after the other until the budget is used up or the resolution is reached."""

    recipe: SearchRecipe
    run: Run
    before: measure.Baseline
    folder: Path
    on_advance: Callable[[Advance], None]
    known: Sequence[Path] = ()
    trials: list[SearchTrial] = field(default_factory=list)
    best: Found | None = None
    """The trial with the highest sparsity that met the goals; before there is one, the trial that lost least."""

    def run_trials(self) -> Literal["resolution", "trials", "seconds"]:
        """Run the trials. Returns the reason why they ended."""
        began, budget = time.monotonic() - sum(trial.seconds for trial in self.trials), self.recipe.budget
        while len(self.trials) < budget.trials:
            self.run.context.checkpoint.save_if_due()
            spent = time.monotonic() - began
            if self.trials and spent + spent / len(self.trials) > budget.seconds:
                return "seconds"
            sparsity = next_sparsity(self.trials, highest=self.recipe.highest, resolution=self.recipe.resolution)
            if sparsity is None:
                return "resolution"
            self._report_progress(sparsity)
            self._try(sparsity)
        return "trials"

    def state_dict(self) -> Section:
        """The finished trials, and everything of the best one."""
        section: dict[str, Array] = {"trials": as_array([trial.model_dump(mode="json") for trial in self.trials])}
        if self.best is not None:
            section["best"] = as_array(self.best.trial.model_dump(mode="json"))
            section |= {f"file/{path.name}": bytes_as_array(path.read_bytes()) for path in self.best.folder.iterdir()}
            section |= variables_state(self.best.model.variables) if self._starts_from_best else {}
        return section

    def load_state_dict(self, section: Section | None) -> None:
        """Continue after the trials of an earlier process."""
        if section is None:
            return
        self.trials[:] = map(SearchTrial.model_validate, from_array(section["trials"]))
        if "best" not in section:
            return
        (folder := self.folder / "earlier").mkdir()
        for name, content in section.items():
            if name.startswith("file/"):
                (folder / Path(name).name).write_bytes(content.tobytes())
        model = None
        if self._starts_from_best:
            model = _compiled_copy(self.run.model, like=self.run.model)
            load_variables(section, model.variables)
        report = Report.model_validate_json((folder / "report.json").read_bytes())
        self.best = Found(SearchTrial.model_validate(from_array(section["best"])), report, model, folder)

    @property
    def _starts_from_best(self) -> bool:
        """Whether trials train on from the best one. Without training, a cut of the uploaded model is better."""
        steps = self.recipe.steps
        return any(map(trains, steps)) and not any(isinstance(step, PruneChannels) for step in steps)

    def _try(self, sparsity: float) -> None:
        began, start = time.monotonic(), self._start()
        keras.utils.set_random_seed(self.recipe.seed)
        (folder := self.folder / f"trial_{len(self.trials)}").mkdir()
        model = _compiled_copy(self.run.model if start is None else start.model, like=self.run.model)
        run = self.run.fork(self.recipe.recipe_of(sparsity), model)
        started_from = 0.0 if start is None else start.trial.sparsity
        try:
            report = carry_out(run, self.before, out=folder, clock=Clock(lambda _: None), known=self.known)
        except (RequestError, SparsityMissed) as fault:  # a lower sparsity may still work
            seconds = time.monotonic() - began
            failed = {"sparsity": sparsity, "started_from": started_from, "met": False}
            self.trials.append(SearchTrial(**failed, why=fault.detail, seconds=seconds))
            return
        before, after = self.before.quality, report.result.quality
        drop = (1 if before.higher_is_better else -1) * (before.score.value - after.score.value)
        trial = SearchTrial(
            sparsity=sparsity,
            started_from=started_from,
            result=report.result,
            drop=drop,
            met=drop <= self.recipe.goals.max_accuracy_drop + 1e-9,
            seconds=time.monotonic() - began,
        )
        self.trials.append(trial)
        self._keep_better(Found(trial, report, run.model, folder))

    def _start(self) -> Found | None:
        """The trial that the next one starts from; None for the uploaded model."""
        best = self.best if self._starts_from_best else None
        return best if best is not None and best.trial.met else None

    def _keep_better(self, found: Found) -> None:
        if self.best is None or _rank(found.trial) > _rank(self.best.trial):
            if self.best is not None:
                shutil.rmtree(self.best.folder)
            self.best = found
        else:
            shutil.rmtree(found.folder)

    def _report_progress(self, sparsity: float) -> None:
        number, most = len(self.trials), self.recipe.budget.trials
        last = f", last drop {self.trials[-1].drop:.4f}" if self.trials and self.trials[-1].drop is not None else ""
        message = f"trial {number + 1}: {words.grid_point(sparsity)}{last}"
        expected = max(number + 1, min(most, USUAL))
        spent = sum(trial.seconds for trial in self.trials)
        left = spent / number * (expected - number) if number else 0.0
        self.on_advance(Advance(progress=number / expected, eta_seconds=left, message=message))


def _rank(trial: SearchTrial) -> tuple[bool, float]:
    return (True, trial.sparsity) if trial.met else (False, -(trial.drop or 0.0))


def _compiled_copy(model: Any, *, like: Any) -> Any:
    made = copy_of(model)
    if config := like.get_compile_config():
        made.compile_from_config(config)
    return made


def _report(
    recipe: SearchRecipe,
    run: Run,
    best: Found,
    trials: Sequence[SearchTrial],
    stopped_by: Literal["resolution", "trials", "seconds"],
    seconds: dict[str, float],
) -> SearchReport:
    report = SearchReport(
        provenance=run.context.provenance,
        model_name=run.model.name,
        metric=run.context.objective.metric,
        metric_label=best.report.metric_label,
        higher_is_better=run.context.objective.higher_is_better,
        spec=recipe,
        baseline=best.report.baseline,
        goals_met=best.trial.met,
        sparsity=best.trial.sparsity,
        best=best.report,
        trials=tuple(trials),
        stopped_by=stopped_by,
        verdicts=(),
        notes=tuple(run.notes),
        host=host(),
        seconds=dict(seconds),
    )
    return report.model_copy(update={"verdicts": verdicts(report)})
