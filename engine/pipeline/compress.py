"""Run a recipe: load, check, prune, fine-tune, quantise, and measure the files that come out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, assert_never

import keras

from engine.checkpoint.sections import Checkpoint
from engine.evaluation import measure
from engine.faults import attribute_errors_to_samples
from engine.pipeline.clock import Clock
from engine.pipeline.preflight import check_steps
from engine.pipeline.report import make_report
from engine.pipeline.runner import Runner
from engine.pruning.pruner import Pruner
from engine.run import baseline
from engine.run.context import Run
from engine.run.snapshot import resume_steps, step_checkpoint
from engine.steps import layer_sensitivity
from engine.steps.channels import prune_channels
from engine.steps.finetune import finetune
from engine.steps.prune import prune
from engine.steps.quantize import quantize
from engine.training.progress import Advance
from reporting.pages.page import html
from secateur.protocol.progress import Event, ProducedFile, step_names
from secateur.reports.report import Report
from secateur.reports.sensitivity import Curves
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Prune
from secateur.specs.reading import Reading
from secateur.specs.spec import Quantize, Recipe
from secateur.specs.training import Finetune

FILES: Final = (
    ProducedFile(name="model.tflite", media_type="application/vnd.tflite"),
    ProducedFile(name="model.keras", media_type="application/vnd.keras"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)


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
    checkpoint: Checkpoint | None = None,
    job_id: str | None = None,
) -> tuple[ProducedFile, ...]:
    """Run a recipe and write its files to a folder.

    Args:
        recipe: the steps of the job and their settings.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set; ``recipe.data.scale`` overrides its scale.
        out: an existing folder.
        emit: called with the events of every step.
        known: ``sensitivity.json`` of earlier jobs, newest first; measurements that fit are reused.
        known_baseline: the baseline that a sweep measured for all of its trials.
        checkpoint: where to resume from, and where to save the state.
        job_id: for the report; None outside the service.

    Returns:
        The files: ``FILES``, and ``sensitivity.json`` if layers were measured.

    Raises:
        RequestError: the model, the data or the recipe cannot work; its ``suggestions`` say what to change.
        SparsityMissed, ExportDisagrees: the result is not what the recipe asks for; it is not delivered.
    """
    try:
        runner = Runner.start(recipe.seed, emit, checkpoint)
        with runner.loaded(recipe, model=model, dataset=dataset, reading=reading, job_id=job_id) as (run, message):
            if not runner.checkpoint.is_resumed:
                check_steps(run)
            before = runner.baseline(run, message, known_baseline)
        with runner.saving(baseline=lambda: baseline.state_dict(run, before)):
            carry_out(run, before, out=out, clock=runner.clock, known=known)
    except BaseException:
        for file in FILES:  # the files of a failed job must not be delivered
            (out / file.name).unlink(missing_ok=True)
        raise
    measured = any(isinstance(step, Prune) and step.distribution == "sensitivity" for step in recipe.steps)
    return (*FILES, layer_sensitivity.FILE) if measured else FILES


def carry_out(run: Run, before: measure.Baseline, *, out: Path, clock: Clock, known: Sequence[Path] = ()) -> Report:
    """Run every step of a loaded job, measure the result, and write ``FILES`` to a folder.

    Args:
        run: the loaded job; its steps change it.
        before: the baseline.
        out: an existing folder.
        clock: times the steps and emits their events.
        known: ``sensitivity.json`` of earlier jobs, newest first; measurements that fit are reused.
    """
    steps = run.context.recipe.steps
    done, names = resume_steps(run, out), step_names(each.kind for each in steps)
    known = [out / layer_sensitivity.FILE.name, *known]
    for number, (name, step) in list(enumerate(zip(names, steps, strict=True)))[done:]:
        keras.utils.set_random_seed(run.context.recipe.seed)  # independent of earlier steps and of the process
        with clock.step(name) as message, step_checkpoint(run, number, out), attribute_errors_to_samples():
            match step:
                case Prune():
                    advance = clock.advance(name)
                    curves = _measurer(run, step, out, known, advance)
                    message.append(prune(run, step, name, steps[number + 1 :], advance, curves))
                case PruneChannels():
                    message.append(prune_channels(run, step, name, clock.advance(name)))
                case Finetune():
                    message.append(finetune(run, step, name, clock.advance(name)))
                case Quantize():
                    message.append(quantize(run, step, out))
                case _:
                    assert_never(step)
    with clock.step("measure") as message, step_checkpoint(run, len(steps), out):
        if run.result is None:
            quantize(run, Quantize(scheme="none"), out)
        files = [out / file.name for file in FILES[:2]]
        report = make_report(run, before, files, clock.seconds)
        message.append(report.verdicts[0])
    (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    (out / "report.html").write_text(html(report))
    return report


def _measurer(
    run: Run, step: Prune, out: Path, known: Sequence[Path], on_advance: Callable[[Advance], None]
) -> Callable[[Pruner], Curves]:
    """Measures the sensitivity of each layer, or reuses earlier measurements, and saves it for later jobs."""

    def report(at: Advance) -> None:
        on_advance(replace(at, progress=0.0))  # the step itself starts later, and its progress must not fall back

    def keep(found: Curves) -> None:
        (out / layer_sensitivity.FILE.name).write_text(found.model_dump_json(indent=2) + "\n")
        run.context.checkpoint.save_if_due()

    def curves(pruner: Pruner) -> Curves:
        found = layer_sensitivity.curves(
            run, step, names=pruner.among, cut=pruner.alone(), known=known, keep=keep, on_advance=report
        )
        keep(found)
        return found

    return curves
