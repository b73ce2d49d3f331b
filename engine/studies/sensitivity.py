"""A sensitivity job: load, measure every layer, and write the report."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from engine.checkpoint.sections import Checkpoint, bytes_as_array
from engine.evaluation.host import host
from engine.faults import attribute_errors_to_samples
from engine.inspection import summary
from engine.pipeline.runner import Runner
from engine.run.context import Run
from engine.steps import layer_sensitivity
from engine.steps.prune import choose
from engine.studies.sensitivity_verdicts import verdicts
from reporting.pages.sensitivity import html
from reporting.plots.sensitivity import png
from secateur.protocol.progress import Event, ProducedFile
from secateur.reports.sensitivity import Curves, MeasuredLayer, SensitivityReport
from secateur.specs.metrics import in_words
from secateur.specs.reading import Reading
from secateur.specs.sensitivity import SensitivityRecipe

FILES: Final = (
    layer_sensitivity.FILE,
    ProducedFile(name="sensitivity.png", media_type="image/png"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)


def measure_sensitivity(
    recipe: SensitivityRecipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    out: Path,
    emit: Callable[[Event], None],
    known: Iterable[Path] = (),
    checkpoint: Checkpoint | None = None,
    job_id: str | None = None,
) -> tuple[ProducedFile, ...]:
    """Measure the sensitivity of each layer and write ``FILES`` to a folder.

    Args:
        recipe: how layers are pruned, and the grid of sparsities.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set; ``recipe.data.scale`` overrides its scale.
        out: an existing folder.
        emit: called with the events of every step.
        known: ``sensitivity.json`` of earlier jobs, newest first; measurements that fit are reused.
        checkpoint: where to resume from, and where to save the state.
        job_id: for the report; None outside the service.

    Raises:
        RequestError: the model, the data or the recipe cannot work; its ``suggestions`` say what to change.
    """
    runner, file = Runner.start(recipe.seed, emit, checkpoint), out / layer_sensitivity.FILE.name
    clock = runner.clock
    derived = recipe.as_recipe()
    files = {"model": model, "dataset": dataset}
    with runner.loaded(derived, **files, reading=reading, asked=recipe, job_id=job_id) as (run, message):
        message.append(f"{len(run.context.data.validation):,} held-out samples")
    if (earlier := runner.checkpoint.restore("curves")) is not None:
        file.write_bytes(earlier["file"].tobytes())

    def keep(found: Curves) -> None:
        file.write_text(found.model_dump_json(indent=2) + "\n")
        runner.checkpoint.save_if_due()

    with (
        clock.step("sensitivity") as message,
        attribute_errors_to_samples(),
        runner.saving(curves=lambda: {"file": bytes_as_array(file.read_bytes())}),
    ):
        pruner, listen = choose(run, recipe.prune), clock.advance("sensitivity")
        found = layer_sensitivity.curves(
            run,
            recipe.prune,
            names=pruner.among,
            cut=pruner.alone(),
            known=[file, *known],
            keep=keep,
            on_advance=listen,
        )
        message.append(f"most sensitive: {found.by_sensitivity()[0]}")
    with clock.step("report"):
        report = _report(recipe, run, found, clock.seconds)
        file.write_text(found.model_dump_json(indent=2) + "\n")
        (out / "sensitivity.png").write_bytes(png(report))
        (out / "report.html").write_text(html(report))
    (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    return FILES


def _report(recipe: SensitivityRecipe, run: Run, found: Curves, seconds: dict[str, float]) -> SensitivityReport:
    return SensitivityReport(
        provenance=run.context.provenance,
        model_name=run.model.name,
        metric_label=in_words(run.context.objective.metric),
        spec=recipe,
        curves=found,
        layers=tuple(_layers(recipe, run, found)),
        verdicts=verdicts(found),
        notes=tuple(run.notes),
        host=host(),
        seconds=dict(seconds),
    )


def _layers(recipe: SensitivityRecipe, run: Run, found: Curves) -> list[MeasuredLayer]:
    listed = []
    for layer in summary.summarise(run.model).layers:
        measured = layer.name in found.layers
        reason = layer.reason or "it shares its weights with a layer that is measured"
        reason = "it is listed in skip_layers" if layer.name in recipe.skip_layers else reason
        listed.append(
            MeasuredLayer(
                name=layer.name,
                class_name=layer.class_name,
                kernel_shape=layer.kernel_shape,
                num_weights=int(np.prod(layer.kernel_shape)) if layer.kernel_shape else 0,
                scores=found.layers[layer.name] if measured else (),
                keeps=found.keeps(layer.name) if measured else None,
                reason=None if measured else reason,
            )
        )
    return listed
