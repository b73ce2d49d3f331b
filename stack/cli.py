"""``python -m stack up`` serves until Ctrl-C; ``python -m stack demo`` compresses an example and ends."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from infra.settings import Settings
from secateur.cli.main import INTERRUPTED, print_error
from secateur.cli.run import JobEnded
from secateur.errors import SecateurError
from stack.demo import demo as run_demo
from stack.faults import StackError
from stack.interrupts import Interrupts
from stack.machine import machine

TEND_SECONDS = 0.25

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Secateur on this machine.")
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Folder for all data. Default: ./var.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Default: 8000.")] = None,
) -> None:
    """Run broker, workers and gateway until Ctrl-C."""
    given: dict[str, Any] = {"data_dir": data_dir, "port": port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    interrupts = Interrupts()
    with _printed_errors(), interrupts.installed():
        try:
            _serve(settings, interrupts)
        except KeyboardInterrupt:
            console.print("stopped")


def _serve(settings: Settings, interrupts: Interrupts) -> None:
    console.print("starting broker, workers and gateway ...")
    with machine(settings, interrupts) as stack:
        console.print(
            f"[bold]Secateur listens at {stack.url}[/bold]  (docs: {stack.url}/docs, Ctrl-C stops)", soft_wrap=True
        )
        console.print(f"data and logs: {settings.data_dir.resolve()}", soft_wrap=True)
        console.print(
            f"try: curl -T examples/mnist/model.keras -X POST '{stack.url}/v1/models?name=model.keras'", soft_wrap=True
        )
        while True:
            for name in stack.restart_dead():
                console.print(f"[yellow]{name} has died and was restarted[/yellow]; see logs/{name}.log")
            time.sleep(TEND_SECONDS)


@app.command()
def demo(out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the results.")] = Path("demo")) -> None:
    """Compress a real MNIST model with a service that is started for it."""
    interrupts = Interrupts()
    with _printed_errors(), interrupts.installed():
        try:
            run_demo(out, console, interrupts)
        except KeyboardInterrupt:
            console.print("stopped; all processes have ended")
            sys.exit(INTERRUPTED)


@contextmanager
def _printed_errors() -> Iterator[None]:
    """Print errors of the block as a few lines, and exit with code 1."""
    try:
        yield
    except StackError as fault:
        if fault.log_tail:
            errors.print(escape(fault.log_tail.rstrip()), style="dim")
        errors.print(f"[bold red]{escape(fault.what)}[/bold red]\n[green]→[/green] {escape(fault.fix)}")
    except JobEnded as ended:
        if ended.error is None:
            errors.print(str(ended))
        else:
            print_error(ended.error, to=errors)
    except SecateurError as error:
        print_error(error, to=errors)
    else:
        return
    sys.exit(1)
