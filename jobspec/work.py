"""What the gateway asks of workers, and what a worker asks of its child. Messages carry ids; rows carry the truth."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from jobspec.frozen import Frozen
from jobspec.sensitivity import SensitivitySpec
from jobspec.spec import CompressSpec, Scale

RUN_TASK: Final = "secateur.run"

Queue = Literal["checks", "jobs"]
QUEUES: Final[tuple[Queue, ...]] = ("checks", "jobs")

WorkKind = Literal["check_model", "check_dataset", "compress", "sensitivity"]
QUEUE_OF: Final[dict[WorkKind, Queue]] = {
    "check_model": "checks",
    "check_dataset": "checks",
    "compress": "jobs",
    "sensitivity": "jobs",
}


class CheckModel(Frozen):
    """Load a model and tell what it is. Paths are relative to the child's folder."""

    kind: Literal["check_model"] = "check_model"
    model: str


class CheckDataset(Frozen):
    """Read a data set and tell what it is."""

    kind: Literal["check_dataset"] = "check_dataset"
    dataset: str
    scale: Scale = "none"


class Compress(Frozen):
    """Run a recipe; files go to ``out``."""

    kind: Literal["compress"] = "compress"
    spec: CompressSpec
    model: str
    dataset: str
    scale: Scale = Field(default="none", description="What the data set was uploaded with.")
    sensitivity: tuple[str, ...] = Field(default=(), description="Earlier measurements of layers, newest first.")
    out: str


class MeasureSensitivity(Frozen):
    """Measure what each layer takes; files go to ``out``."""

    kind: Literal["sensitivity"] = "sensitivity"
    spec: SensitivitySpec
    model: str
    dataset: str
    scale: Scale = "none"
    sensitivity: tuple[str, ...] = ()
    out: str


Assignment = Annotated[CheckModel | CheckDataset | Compress | MeasureSensitivity, Field(discriminator="kind")]
ASSIGNMENT: TypeAdapter[Assignment] = TypeAdapter(Assignment)
