"""Run a recipe: load, check, prune, fine-tune, quantise, and measure the files that come out."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, assert_never

import keras

from engine import baseline, sensitivity
from engine.channels.step import prune_channels
from engine.faults import samples_blamed
from engine.job import Job, load
from engine.measuring import measure
from engine.measuring.evidence import make_report
from engine.preflight import check_steps
from engine.pruning.cutting import Cutting
from engine.steps import finetune, prune, quantize
from engine.watch import Advance
from jobspec.channels import PruneChannels
from jobspec.progress import Event, ProducedFile, StepAdvanced, StepFinished, StepStarted, step_names
from jobspec.pruning import Prune
from jobspec.reading import Reading
from jobspec.report import Report
from jobspec.sensitivity import Curves
from jobspec.spec import Quantize, Recipe
from jobspec.training import Finetune
from reporting.page import html

FILES: Final = (
    ProducedFile(name="model.tflite", media_type="application/vnd.tflite"),
    ProducedFile(name="model.keras", media_type="application/vnd.keras"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)


class Clock:
    """Tells that steps begin and end, and how long they took."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """A step; what is put into the list becomes its closing message."""
        self._emit(StepStarted(step=name))
        start, message = time.monotonic(), list[str]()
        yield message
        self.seconds[name] = time.monotonic() - start
        self._emit(StepFinished(step=name, seconds=self.seconds[name], message="; ".join(message) or None))

    def advance(self, name: str) -> Callable[[Advance], None]:
        """A listener for the training inside a step."""
        return lambda at: self._emit(StepAdvanced(step=name, **vars(at)))


def compress(
    recipe: Recipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    out: Path,
    emit: Callable[[Event], None],
    known: Sequence[Path] = (),
    known_baseline: Path | None = None,
) -> tuple[ProducedFile, ...]:
    """Run a recipe and leave its files in a folder.

    Args:
        reading: what was declared of the data set; ``recipe.data.scale`` goes before its scale.
        out: an existing folder.
        emit: told about every step.
        known: ``sensitivity.json`` of earlier jobs, newest first; what fits is not measured again.
        known_baseline: the original as a sweep measured it for all of its trials.

    Returns:
        What was left: ``FILES``, and ``sensitivity.json`` when layers were measured.

    Raises:
        RequestError: the model, the data or the recipe cannot work; its ``suggestions`` say what to change.
        SparsityMissed, ExportDisagrees: the result is not what was asked for, and is not handed out.
    """
    try:
        return _run(
            recipe,
            model=model,
            dataset=dataset,
            reading=reading,
            out=out,
            clock=Clock(emit),
            known=known,
            known_baseline=known_baseline,
        )
    except BaseException:
        for file in FILES:  # what failed is not handed out, not even by accident
            (out / file.name).unlink(missing_ok=True)
        raise


def _run(
    recipe: Recipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    out: Path,
    clock: Clock,
    known: Sequence[Path],
    known_baseline: Path | None,
) -> tuple[ProducedFile, ...]:
    keras.utils.set_random_seed(recipe.seed)
    with tempfile.TemporaryDirectory() as scratch:
        with clock.step("baseline") as message:
            job = load(recipe, model=model, dataset=dataset, reading=reading)
            check_steps(job)
            before = None if known_baseline is None else baseline.taken_up(job, known_baseline)
            before = before or baseline.measured(job, Path(scratch))
            found = before.quality
            message.append(f"{found.metric.replace('_', ' ')} {found.score.value:.4f}")
        carry_out(job, before, out=out, clock=clock, known=known)
    measured = any(isinstance(step, Prune) and step.distribution == "sensitivity" for step in recipe.steps)
    return (*FILES, sensitivity.FILE) if measured else FILES


def carry_out(job: Job, before: measure.Baseline, *, out: Path, clock: Clock, known: Sequence[Path] = ()) -> Report:
    """Take every step of a job that has been loaded, measure what comes out, and leave ``FILES`` in a folder."""
    steps = job.recipe.steps
    for number, (name, step) in enumerate(zip(step_names(each.kind for each in steps), steps, strict=True), start=1):
        with clock.step(name) as message, samples_blamed():
            match step:
                case Prune():
                    advance = clock.advance(name)
                    curves = _measurer(job, step, out, known, advance)
                    message.append(prune(job, step, name, steps[number:], advance, curves))
                case PruneChannels():
                    message.append(prune_channels(job, step, name, clock.advance(name)))
                case Finetune():
                    message.append(finetune(job, step, name, clock.advance(name)))
                case Quantize():
                    message.append(quantize(job, step, out))
                case _:
                    assert_never(step)
    with clock.step("measure") as message:
        if job.result is None:
            quantize(job, Quantize(scheme="none"), out)
        files = [out / file.name for file in FILES[:2]]
        report = make_report(job, before, files, clock.seconds)
        message.append(report.verdicts[0])
    (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    (out / "report.html").write_text(html(report))
    return report


def _measurer(
    job: Job, step: Prune, out: Path, known: Sequence[Path], on_advance: Callable[[Advance], None]
) -> Callable[[Cutting], Curves]:
    """Measures what each layer takes, or takes up what was measured earlier, and leaves it for later jobs."""

    def tell(at: Advance) -> None:
        on_advance(replace(at, progress=0.0))  # the step itself begins after it, and must not fall back

    def curves(cutting: Cutting) -> Curves:
        found = sensitivity.curves(job, step, names=cutting.among, cut=cutting.alone(), known=known, on_advance=tell)
        (out / sensitivity.FILE.name).write_text(found.model_dump_json(indent=2) + "\n")
        return found

    return curves
