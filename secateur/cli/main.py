"""The ``secateur`` command. Exit codes: 0 it worked, 1 the job or the service failed, 2 wrong usage."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from secateur.cli import keys, limits
from secateur.cli.options import DEFAULT_URL, ApiKey, Url
from secateur.cli.run import JobEnded, collect, follow, run, send
from secateur.client.api import Secateur
from secateur.client.views import Job
from secateur.errors import InvalidRequest, SecateurError
from secateur.protocol.events import LEVELS
from secateur.protocol.states import FINAL
from secateur.specs.presets import PRESETS
from secateur.specs.reading import Reading, from_command
from secateur.text.events import line
from secateur.text.terminal import progress

INTERRUPTED = 130
EXAMPLE = 'A spec is JSON such as {"steps": [{"kind": "prune", "sparsity": 0.9}]}.'

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make Keras models smaller and faster.")
console = Console()
errors = Console(stderr=True)
app.add_typer(keys.app, name="keys")
app.add_typer(limits.app, name="limits")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")]
InputFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
OutFolder = Annotated[Path, typer.Option(file_okay=False, help="Folder for the results; made when missing.")]
SpecFile = Annotated[Path | None, typer.Option("--spec", exists=True, dir_okay=False, help="A recipe as JSON.")]
ScaleOption = Annotated[str, typer.Option("--scale", help="How samples are scaled: none, 1/255, -1..1, or JSON.")]
DeclareOption = Annotated[
    list[str] | None,
    typer.Option("--declare", metavar="NAME=VALUE", help="More of the data, such as label=species."),
]


def _drop(text: str) -> float:
    try:
        return float(text)
    except ValueError as fault:
        raise typer.BadParameter(f"{text!r} is no number; one point of accuracy is 0.01") from fault


DropOption = Annotated[
    float | None,
    typer.Option(parser=_drop, metavar="SHARE", help="How much of the metric may be lost; 0.01 is one point."),
]
Kind = Literal["model", "dataset"]
ForceOption = Annotated[bool, typer.Option("--force", help="Run it although the service has the result already.")]


@app.command()
def compress(
    model: InputFile,
    data: InputFile,
    out: OutFolder,
    spec: SpecFile = None,
    preset: Annotated[str | None, typer.Option(help=f"A ready recipe: {', '.join(PRESETS)}.")] = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    force: ForceOption = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a model (.keras, .h5, zip of a SavedModel) and data (.npz), run a recipe, and download what comes out."""
    if (spec is None) == (preset is None):
        raise typer.BadParameter(f"give either --spec FILE or --preset, one of {', '.join(PRESETS)}")
    _run(
        url,
        api_key,
        model,
        data,
        out,
        _reading(scale, declare),
        {"preset": preset} if spec is None else _read(spec),
        force,
    )


@app.command()
def sensitivity(
    model: InputFile,
    data: InputFile,
    out: OutFolder,
    spec: SpecFile = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    force: ForceOption = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a model and data, measure what each layer takes, and download the curves."""
    _run(
        url,
        api_key,
        model,
        data,
        out,
        _reading(scale, declare),
        ({} if spec is None else _read(spec)) | {"kind": "sensitivity"},
        force,
    )


@app.command()
def sweep(
    model: InputFile,
    data: InputFile,
    out: OutFolder,
    spec: SpecFile = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    force: ForceOption = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a model and data, try many sparsities, and download table and plot: how much can be cut?"""
    _run(
        url,
        api_key,
        model,
        data,
        out,
        _reading(scale, declare),
        ({} if spec is None else _read(spec)) | {"kind": "sweep"},
        force,
    )


@app.command()
def search(
    model: InputFile,
    data: InputFile,
    out: OutFolder,
    drop: DropOption = None,
    spec: SpecFile = None,
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    force: ForceOption = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a model and data, and download the file with the most cut that loses no more than a bound."""
    recipe = ({} if spec is None else _read(spec)) | {"kind": "search"}
    if drop is not None:
        recipe |= {"goals": {"max_accuracy_drop": drop}}
    _run(url, api_key, model, data, out, _reading(scale, declare), recipe, force)


def _run(
    url: str,
    api_key: str | None,
    model: Path,
    data: Path,
    out: Path,
    reading: Reading,
    spec: dict[str, Any],
    force: bool,
) -> None:
    started: list[Job] = []
    shown: dict[str, Any] = {"console": console, "on_job": started.append}
    with Secateur(url, api_key=api_key) as service:
        try:
            job = run(service, model=model, dataset=data, reading=reading, spec=spec, force=force, **shown)
        except KeyboardInterrupt:
            if started:
                job_id = started[0].id
                errors.print(f"The job goes on. secateur status {job_id} | secateur cancel {job_id}")
            raise
        paths = collect(service, job, out, console=console)
    console.print(f"In [bold]{escape(str(out))}[/bold]: {', '.join(path.name for path in paths)}")


@app.command()
def upload(
    file: InputFile,
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    scale: ScaleOption = "none",
    declare: DeclareOption = None,
    resumable: Annotated[bool, typer.Option(help="Send it in pieces; large files are in any case.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="UPLOAD", help="Go on with an upload that broke off.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a model or a data set and print its id."""
    reading = _reading(scale, declare)
    with Secateur(url, api_key=api_key) as service:
        typer.echo(send(service, kind, file, reading, resumable=resumable, resume=resume, console=errors).id)


@app.command()
def status(
    job_id: JobId,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the job ends.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Show how far a job has come."""
    with Secateur(url, api_key=api_key) as service:
        job = service.job(job_id)
        if watch and job.state not in FINAL:
            job = follow(service, job, console=console)
        else:
            console.print(progress(job.steps))
    position = f", {job.queue_position} before it" if job.queue_position is not None else ""
    console.print(f"{job.id} is {job.state}{position} (attempt {job.attempt})")
    if job.failure is not None:
        raise JobEnded(job)


@app.command()
def cancel(job_id: JobId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Ask a job to stop."""
    with Secateur(url, api_key=api_key) as service:
        console.print(f"{job_id} is {service.cancel(job_id).state}")


@app.command()
def retry(job_id: JobId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Try a job again that failed, was cancelled or expired."""
    with Secateur(url, api_key=api_key) as service:
        console.print(f"{job_id} is {service.retry(job_id).state}")


@app.command()
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job ends.")] = False,
    level: Annotated[str, typer.Option(help="The least level shown: info, warning or error.")] = "info",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Show what has happened to a job, line by line."""
    if level not in LEVELS:
        raise typer.BadParameter(f"{level} is none of {', '.join(LEVELS)}", param_hint="--level")
    with Secateur(url, api_key=api_key) as service:
        for event in service.events(job_id, level=level, follow=follow):
            console.print(line(event), soft_wrap=True)


def _reading(scale: str, declare: list[str] | None) -> Reading:
    try:
        return from_command(scale, declare or ())
    except InvalidRequest as fault:
        raise typer.BadParameter(". ".join([fault.detail.rstrip("."), *fault.suggestions])) from fault


def _read(spec: Path) -> dict[str, Any]:
    try:
        recipe = json.loads(spec.read_text())
    except ValueError as fault:
        raise typer.BadParameter(f"{spec} is not JSON: {fault}. {EXAMPLE}", param_hint="--spec") from fault
    if not isinstance(recipe, dict):
        raise typer.BadParameter(f"{spec} holds no JSON object. {EXAMPLE}", param_hint="--spec")
    return recipe


def print_error(error: SecateurError, *, to: Console) -> None:
    """An error in a few clear lines: what, where, and how to fix it."""
    to.print(f"[bold red]{escape(error.title)}[/bold red] [dim]({error.code})[/dim]")
    to.print(escape(error.detail))
    for field in error.errors:
        told = f"{field.field}: {', '.join(field.messages)}"
        if told not in error.detail:
            to.print(f"  {escape(told)}")
    for suggestion in error.suggestions:
        to.print(f"[green]→[/green] {escape(suggestion)}")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SecateurError as error:
        print_error(error, to=errors)
        sys.exit(1)
    except JobEnded as ended:
        if ended.error is not None:
            print_error(ended.error, to=errors)
        else:
            errors.print(f"{ended.job.id} is {ended.job.state}.")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
