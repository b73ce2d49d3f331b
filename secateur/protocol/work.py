"""What the gateway asks of workers, and what a worker asks of its child. Messages carry ids; rows carry the truth."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from secateur.errors import Failure
from secateur.frozen import Frozen
from secateur.ids import JobId
from secateur.protocol.cost_bounds import DEFAULT, CostBounds
from secateur.protocol.states import JobState
from secateur.specs.reading import Reading
from secateur.specs.search import SearchSpec
from secateur.specs.sensitivity import SensitivitySpec
from secateur.specs.spec import CompressSpec
from secateur.specs.sweep import SweepSpec

RUN_TASK: Final = "secateur.run"

CHECKPOINT: Final = "checkpoint.npz"
"""The file in which a child keeps how far it is, in its folder."""

SUMMARY: Final = "summary.json"
"""The file in which the check of an upload leaves what it found, in its folder: events are too short for it."""

Queue = Literal["checks", "jobs"]
QUEUES: Final[tuple[Queue, ...]] = ("checks", "jobs")

WorkKind = Literal["check_model", "check_dataset", "compress", "sensitivity", "sweep", "search"]
QUEUE_OF: Final[dict[WorkKind, Queue]] = {
    "check_model": "checks",
    "check_dataset": "checks",
    "compress": "jobs",
    "sensitivity": "jobs",
    "sweep": "jobs",
    "search": "jobs",
}


class CheckModel(Frozen):
    """Load a model and tell what it is. Paths are relative to the child's folder."""

    kind: Literal["check_model"] = "check_model"
    model: str


class CheckDataset(Frozen):
    """Read a data set and tell what it is."""

    kind: Literal["check_dataset"] = "check_dataset"
    dataset: str
    reading: Reading = Field(default_factory=Reading)


class OnInputs(Frozen):
    """Work on a model and a data set; files go to ``out``."""

    model: str
    dataset: str
    reading: Reading = Field(default_factory=Reading, description="What the data set was uploaded with.")
    out: str


class InOneRun(OnInputs):
    """Work that another attempt can go on with."""

    job_id: str | None = Field(default=None, description="For the report.")
    sensitivity: tuple[str, ...] = Field(default=(), description="Earlier measurements of layers, newest first.")
    earlier: str | None = Field(default=None, description="How far an earlier attempt was.")


class Compress(InOneRun):
    """Run a recipe."""

    kind: Literal["compress"] = "compress"
    spec: CompressSpec
    baseline: str | None = Field(default=None, description="The original, measured by the job that this one is for.")


class MeasureSensitivity(InOneRun):
    """Measure what each layer takes."""

    kind: Literal["sensitivity"] = "sensitivity"
    spec: SensitivitySpec


class Search(InOneRun):
    """Find how much can go within a bound."""

    kind: Literal["search"] = "search"
    spec: SearchSpec


class MeasureBaseline(OnInputs):
    """Measure the original once, for all trials of a sweep, and refuse what no trial could do."""

    kind: Literal["sweep"] = "sweep"
    phase: Literal["baseline"] = "baseline"
    spec: SweepSpec


class EndedTrial(Frozen):
    """A trial's job that has ended: its report as a file, or why there is none."""

    job_id: JobId
    state: JobState
    report: str | None = None
    failure: Failure | None = None


class GatherTrials(Frozen):
    """Make one table and one plot of the trials, which come in the order of ``SweepRecipe.trials``."""

    kind: Literal["sweep"] = "sweep"
    phase: Literal["gather"] = "gather"
    spec: SweepSpec
    trials: tuple[EndedTrial, ...]
    seconds: float = Field(default=0.0, description="From the start of the first to the end of the last.")
    baseline: str
    out: str


SweepWork = Annotated[MeasureBaseline | GatherTrials, Field(discriminator="phase")]
Assignment = Annotated[
    CheckModel | CheckDataset | Compress | MeasureSensitivity | Search | SweepWork, Field(discriminator="kind")
]
ASSIGNMENT: TypeAdapter[Assignment] = TypeAdapter(Assignment)


class WorkMessage(Frozen):
    """What a child is told, once: its work, how much processor time, on all processors together, it may take, and what
    the files that it reads may cost.

    Where ``checkpoint_seconds`` is set, it keeps how far it is so often at most.
    """

    assignment: Assignment
    processor_seconds: float | None = None
    checkpoint_seconds: float | None = None
    cost_bounds: CostBounds = DEFAULT
