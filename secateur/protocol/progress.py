"""What a running job tells: typed events from the child, and the list of steps that they fold into."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from secateur.frozen import Frozen
from secateur.protocol.events import Level
from secateur.protocol.states import StepState
from secateur.report_limits import Brief, Epoch, Metrics, Name, Text
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe
from secateur.specs.sweep import SweepRecipe


class StepProgress(Frozen):
    """One step of a job as its user sees it."""

    name: str
    state: StepState = StepState.PENDING
    progress: float = Field(default=0.0, ge=0.0, le=1.0)
    seconds: float | None = None
    eta_seconds: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    metrics: Mapping[str, float] = Field(default_factory=dict)
    message: str | None = None


class Ready(Frozen):
    """The child has imported what it needs and waits for its one job."""

    event: Literal["ready"] = "ready"


class StepStarted(Frozen):
    """A step begins."""

    event: Literal["step_started"] = "step_started"
    step: Name


class StepAdvanced(Frozen):
    """How far a step is."""

    event: Literal["step_advanced"] = "step_advanced"
    step: Name
    progress: float = Field(ge=0.0, le=1.0)
    eta_seconds: float | None = None
    epoch: Epoch | None = None
    epochs: Epoch | None = None
    metrics: Metrics = Field(default_factory=dict)
    message: Text | None = None


class StepFinished(Frozen):
    """A step has done what it was for; ``message`` says what came of it."""

    event: Literal["step_finished"] = "step_finished"
    step: Name
    seconds: float
    message: Text | None = None


class Saved(Frozen):
    """How far the job is lies in a file, for its next attempt; the next such file is written when this one is gone."""

    event: Literal["saved"] = "saved"


class LogLine(Frozen):
    """A line that the child's own code logged."""

    event: Literal["log"] = "log"
    level: Level = "info"
    logger: Name = ""
    message: Text


class ProducedFile(Frozen):
    """A file that a job leaves for its user, by its name in the output folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    media_type: str = Field(pattern=r"^[a-z]+/[A-Za-z0-9.+-]{1,100}(; ?charset=[a-z0-9-]{1,20})?$")


class Succeeded(Frozen):
    """The last event of a job that worked. The check of an upload leaves its summary in ``work.SUMMARY``."""

    event: Literal["succeeded"] = "succeeded"
    files: tuple[ProducedFile, ...] = Field(default=(), max_length=10_000)


class Failed(Frozen):
    """The last event of a job that did not."""

    event: Literal["failed"] = "failed"
    failure: Brief


Event = Annotated[
    Ready | StepStarted | StepAdvanced | StepFinished | Saved | LogLine | Succeeded | Failed,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def step_names(kinds: Iterable[str]) -> tuple[str, ...]:
    """Names for a recipe's steps; a kind that comes again gets a number.

    >>> step_names(["prune", "finetune", "prune"])
    ('prune', 'finetune', 'prune_2')
    """
    seen: dict[str, int] = {}
    names = []
    for kind in kinds:
        seen[kind] = seen.get(kind, 0) + 1
        names.append(kind if seen[kind] == 1 else f"{kind}_{seen[kind]}")
    return tuple(names)


SENSITIVITY_STEPS: Final = ("baseline", "sensitivity", "report")
TRIALS: Final = "trials"
SWEEP_STEPS: Final = ("baseline", TRIALS, "report")
SEARCH_STEPS: Final = ("baseline", "search", "report")


def planned(recipe: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe) -> tuple[StepProgress, ...]:
    """The steps that a job will go through, before the first has begun."""
    names: tuple[str, ...]
    match recipe:
        case Recipe():
            names = ("baseline", *step_names(step.kind for step in recipe.steps), "measure")
        case SensitivityRecipe():
            names = SENSITIVITY_STEPS
        case SweepRecipe():
            names = SWEEP_STEPS
        case SearchRecipe():
            names = SEARCH_STEPS
    return tuple(StepProgress(name=name) for name in names)


def advance(steps: tuple[StepProgress, ...], event: Event) -> tuple[StepProgress, ...]:
    """The list of steps after one more event. Events of steps that were not planned change nothing.

    When a step begins, those behind it have not: an attempt that could not go on where another was begins anew.
    """
    begins = next((place for place, step in enumerate(steps) if _is_beginning(event, step)), len(steps))

    def moved(step: StepProgress) -> StepProgress:
        match event:
            case StepStarted(step=step.name):
                return step.model_copy(update={"state": StepState.RUNNING})
            case StepAdvanced(step=step.name):
                return step.model_copy(update=event.model_dump(exclude={"event", "step"}))
            case StepFinished(step=step.name):
                end = {"state": StepState.SUCCEEDED, "progress": 1.0, "eta_seconds": None}
                return step.model_copy(update=end | {"seconds": event.seconds, "message": event.message})
            case Failed() if step.state == StepState.RUNNING:
                return step.model_copy(update={"state": StepState.FAILED, "eta_seconds": None})
            case _:
                return step

    return tuple(moved(step) if place <= begins else StepProgress(name=step.name) for place, step in enumerate(steps))


def _is_beginning(event: Event, step: StepProgress) -> bool:
    return isinstance(event, StepStarted) and event.step == step.name
