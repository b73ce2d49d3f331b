"""The engine without the service: ``python -m engine compress``, ``sensitivity`` and ``inspect``."""

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.live import Live

from engine.inspection.inspect import inspect_dataset, inspect_model
from engine.quiet import stderr_to
from screening.formats import ACCEPTED
from secateur.errors import InvalidRequest, SecateurError
from secateur.field_path import field_path
from secateur.protocol.progress import Event, advance, planned
from secateur.reports.report import Report
from secateur.reports.search import SearchReport
from secateur.reports.sensitivity import SensitivityReport
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.presets import PRESETS
from secateur.specs.reading import Reading, from_command
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe
from secateur.text.inspection import model_table
from secateur.text.terminal import progress, table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Prune, fine-tune and quantise a Keras model.")
console = Console()
errors = Console(stderr=True)

ScaleOption = Annotated[str, typer.Option("--scale", help="How samples are scaled: none, 1/255, -1..1, or JSON.")]
DeclareOption = Annotated[
    list[str] | None,
    typer.Option("--declare", metavar="NAME=VALUE", help="More of the data, such as label=species."),
]
FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
DataOption = Annotated[Path, typer.Option("--data", exists=True, dir_okay=False, help="The data set.")]
OutOption = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the results; made when missing.")]
SpecOption = Annotated[
    Path | None,
    typer.Option("--spec", exists=True, dir_okay=False, help="A recipe as JSON, or the report.json of a job."),
]

Work = Callable[..., object]
R = TypeVar("R", bound=BaseModel)


@app.command()
def compress(
    model: FileArgument,
    data: DataOption,
    out: OutOption,
    spec: SpecOption = None,
    preset: Annotated[str | None, typer.Option(help=f"A ready recipe: {', '.join(PRESETS)}.")] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", help="How samples are scaled. Default: as in the report that is repeated, else none."),
    ] = None,
    declare: DeclareOption = None,
) -> None:
    """Run a recipe on a model and leave model.tflite, model.keras, report.json and report.html in a folder."""
    if (spec is None) == (preset is None):
        raise typer.BadParameter("give either --spec or --preset")
    recipe, reading = _recipe_and_reading(spec, preset, scale, declare or ())
    _follow(_compressor, recipe, model, data, reading, out)
    _show(Report, out)


@app.command()
def sensitivity(
    model: FileArgument,
    data: DataOption,
    out: OutOption,
    spec: SpecOption = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
) -> None:
    """Measure how much each layer takes and leave curves, a plot and a report in a folder.

    What an earlier run left there and still fits is not measured again.
    """
    recipe = _recipe(SensitivityRecipe, spec.read_text() if spec else "{}")
    _follow(_measurer, recipe, model, data, from_command(scale, declare or ()), out)
    _show(SensitivityReport, out)


@app.command()
def search(
    model: FileArgument,
    data: DataOption,
    out: OutOption,
    spec: SpecOption = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
) -> None:
    """Find how much can go within a bound, and leave that file, a plot and a report in a folder."""
    recipe = _recipe(SearchRecipe, spec.read_text() if spec else "{}")
    _follow(_searcher, recipe, model, data, from_command(scale, declare or ()), out)
    _show(SearchReport, out)


def _searcher() -> Work:
    from engine.studies.search import search

    return search


def _compressor() -> Work:
    from engine.pipeline.compress import compress  # takes seconds; --help should not

    return compress


def _measurer() -> Work:
    from engine.studies.sensitivity import measure_sensitivity

    return measure_sensitivity


def _follow(
    load: Callable[[], Work],
    recipe: Recipe | SensitivityRecipe | SearchRecipe,
    model: Path,
    data: Path,
    reading: Reading,
    out: Path,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    steps = planned(recipe)
    with stderr_to(out / "engine.log"), Live(progress(steps), console=console, refresh_per_second=8) as live:

        def show(event: Event) -> None:
            nonlocal steps
            steps = advance(steps, event)
            live.update(progress(steps))

        known = [out / "sensitivity.json"]
        load()(recipe, model=model, dataset=data, reading=reading, out=out, emit=show, known=known)


def _show(report: type[Report | SensitivityReport | SearchReport], out: Path) -> None:
    console.print(table(report.model_validate_json((out / "report.json").read_text())))
    console.print(f"Results are in [bold]{out}[/bold]; open report.html for the plots.")


@app.command()
def inspect(
    file: FileArgument,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in a terminal too, as everywhere else.")] = False,
) -> None:
    """Tell what a model (.keras, .h5, .zip) or a data set (.npz) holds: in tables where people read, else as JSON."""
    with stderr_to(Path(os.devnull)):
        reading = from_command(scale, declare or ())
        summary = inspect_dataset(file, reading) if _is_dataset(file, reading) else inspect_model(file)
    print_summary(summary, to=console, as_json=as_json)


def _is_dataset(file: Path, reading: Reading) -> bool:
    """By its ending; a zip holds images, unless it holds a SavedModel."""
    if file.suffix.lower() == ".zip":
        with zipfile.ZipFile(file) as archive:
            return bool(reading.declared()) or not any(name.endswith("saved_model.pb") for name in archive.namelist())
    return file.suffix.lower() in ACCEPTED["dataset"]


def print_summary(summary: ModelSummary | DatasetSummary, *, to: Console, as_json: bool = False) -> None:
    """Print a summary: tables for a model in a terminal, JSON otherwise, so that a script need not ask for it."""
    if isinstance(summary, ModelSummary) and to.is_terminal and not as_json:
        to.print(model_table(summary))
    else:
        to.print_json(summary.model_dump_json())


def _recipe_and_reading(
    spec: Path | None, preset: str | None, scale: str | None, declare: Sequence[str]
) -> tuple[Recipe, Reading]:
    """The recipe and the reading of the command line; a report as the spec brings both."""
    content = spec.read_text() if spec else json.dumps({"preset": preset})
    try:
        report = Report.model_validate_json(content)
    except ValidationError:
        return _recipe(Recipe, content), from_command(scale or "none", declare)
    if report.provenance is None or scale is not None or declare:
        return report.spec, from_command(scale or "none", declare)
    return report.spec, report.provenance.reading


def _recipe(kind: type[R], content: str) -> R:
    try:
        return kind.model_validate_json(content)
    except ValidationError as fault:
        is_json = fault.errors()[0]["type"] != "json_invalid"
        given = json.loads(content) if is_json else None
        found = [(".".join(field_path(error["loc"], given)), error["msg"]) for error in fault.errors()]
        told = "; ".join(f"{path or 'recipe'}: {message}" for path, message in found)
        raise InvalidRequest(told, suggestions=["docs/engine.md shows a recipe."]) from fault


def main() -> None:
    """Run the command line; an error of our tree becomes a few clear lines and exit code 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported
    try:
        app()
    except SecateurError as error:
        errors.print(f"[bold red]{error.title}[/bold red] ({error.code})\n{error.detail}", highlight=False)
        for suggestion in error.suggestions:
            errors.print(f"  → {suggestion}", highlight=False)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
