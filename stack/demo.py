"""The demonstration: a fresh service compresses a real model. All requests go over HTTP."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from infra.settings import Settings
from secateur.cli.run import collect, run
from secateur.client.api import Secateur
from secateur.specs.reading import Reading
from stack.folder import exclusive
from stack.interrupts import Interrupts
from stack.machine import machine

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "mnist"
STATE = ".state"


def demo(out: Path, console: Console, interrupts: Interrupts, *, example: Path = EXAMPLE) -> list[Path]:
    """Compress an example, and return the paths of the results.

    Args:
        out: the folder of the results.
        console: for the progress.
        interrupts: of this process.
        example: a folder with ``model.keras``, ``mnist.npz`` and ``spec.json``.

    Raises:
        StackError, JobEnded, SecateurError: as ``machine`` and ``run`` do.
    """
    began = time.monotonic()
    with _temporary(out / STATE) as state, ExitStack() as opened:
        settings = Settings(data_dir=state / "var", host="127.0.0.1", port=0)
        with console.status("starting broker, workers and gateway"):
            stack = opened.enter_context(machine(settings, interrupts))
        console.print(f"[dim]service ready at {stack.url} after {time.monotonic() - began:.0f} s[/dim]")
        with Secateur(stack.url, api_key="") as service:
            job = run(
                service,
                model=example / "model.keras",
                dataset=example / "mnist.npz",
                reading=Reading(),
                spec=json.loads((example / "spec.json").read_text()),
                console=console,
                on_job=lambda job: stack.restart_dead(),
            )
            paths = collect(service, job, out, console=console)
    console.print(f"\nDone in {time.monotonic() - began:.0f} s. In [bold]{out}[/bold]:")
    for path in paths:
        console.print(f"  {path}")
    return paths


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """Create and lock a folder while the block runs, and remove it afterwards."""
    with exclusive(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
