"""The steps of a running job, as something that a terminal can show again and again."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from secateur.protocol.progress import StepProgress
from secateur.protocol.states import StepState
from secateur.text import words

MARKS: Final[Mapping[StepState, tuple[str, str]]] = {
    StepState.PENDING: ("·", "dim"),
    StepState.RUNNING: ("▸", "cyan"),
    StepState.SUCCEEDED: ("✓", "green"),
    StepState.FAILED: ("✗", "red"),
    StepState.CANCELLED: ("✗", "yellow"),
}
BAR_WIDTH: Final = 24
TIME_WIDTH: Final = 19


def progress(steps: Sequence[StepProgress]) -> RenderableType:
    """One line a step: mark, name, bar, how long it took or will take, and the latest numbers.

    Meant for ``rich.live.Live``; shows what it is given and keeps no state.
    """
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=max((len(words.step(step.name)) for step in steps), default=0))
    grid.add_column(width=BAR_WIDTH)
    grid.add_column(width=TIME_WIDTH, justify="right")
    grid.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    for step in steps:
        grid.add_row(*_cells(step))
    return grid


def _cells(step: StepProgress) -> tuple[RenderableType, ...]:
    mark, style = MARKS[step.state]
    quiet = "dim" if step.state == StepState.PENDING else ""
    bar: RenderableType = Text()
    if step.state in (StepState.RUNNING, StepState.FAILED, StepState.CANCELLED):
        bar = ProgressBar(total=1.0, completed=step.progress, width=BAR_WIDTH)
    elif step.state == StepState.SUCCEEDED:
        bar = ProgressBar(total=1.0, completed=1.0, width=BAR_WIDTH)
    return Text(mark, style), Text(words.step(step.name), quiet), bar, Text(_time(step), "dim"), Text(_told(step))


def _time(step: StepProgress) -> str:
    if step.seconds is not None:
        return words.duration(step.seconds)
    if step.state == StepState.RUNNING:
        return f"{step.progress:.0%}" if step.eta_seconds is None else f"{words.duration(step.eta_seconds)} left"
    return ""


def _told(step: StepProgress) -> str:
    if step.state == StepState.PENDING:
        return ""
    epoch = None if step.epoch is None else f"epoch {step.epoch}" + (f"/{step.epochs}" if step.epochs else "")
    numbers = [f"{name.replace('_', ' ')} {_number(name, value)}" for name, value in step.metrics.items()]
    return "  ".join(filter(None, (step.message, epoch if step.message is None else None, *numbers)))


def _number(name: str, value: float) -> str:
    return words.share(value) if name.endswith(("accuracy", "sparsity")) else f"{value:.4g}"
