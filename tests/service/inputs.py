"""Uploads and jobs in every state, made as a worker would leave them."""

from dataclasses import dataclass
from typing import Any

from infra.db.database import now
from infra.db.tables import Job
from infra.jobs import creation, lifecycle, steps
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.uploads import uploads
from secateur.errors import DatasetNotFinite, ModelUnreadable
from secateur.ids import new_id
from secateur.protocol.states import JobState
from secateur.reports.summaries import DatasetSummary, LayerInfo, ModelSummary, SplitInfo, TensorInfo
from secateur.specs.reading import Reading
from secateur.specs.spec import CompressSpec
from tests.service.conftest import Running

MODEL = ModelSummary(
    name="tiny",
    inputs=(TensorInfo(name="image", shape=(None, 4, 4, 1), dtype="float32"),),
    outputs=(TensorInfo(name="head", shape=(None, 3), dtype="float32"),),
    num_params=163,
    layers=(
        LayerInfo(name="flatten", class_name="Flatten", num_params=0, reason="it has no weights"),
        LayerInfo(name="hidden", class_name="Dense", num_params=136, kernel_shape=(16, 8), prunable=True),
        LayerInfo(name="head", class_name="Dense", num_params=27, kernel_shape=(8, 3), reason="it is the output"),
    ),
)
DATASET = DatasetSummary(
    splits={"train": SplitInfo(num_samples=64), "test": SplitInfo(num_samples=32)},
    sample_shape=(4, 4, 1),
    sample_dtype="float32",
    sample_min=0.0,
    sample_max=1.0,
    label_shape=(),
    label_dtype="int64",
    label_kind="classes",
    num_classes=3,
)
REJECTIONS = {
    "model": ModelUnreadable("Its weights are no HDF5 file.", suggestions=["Save it again."]),
    "dataset": DatasetNotFinite("x_train has 3 NaN.", suggestions=["Remove them."]),
}
PRUNE: dict[str, Any] = {"kind": "prune", "sparsity": 0.5}


@dataclass(frozen=True)
class Pair:
    """A model and a data set that fit each other."""

    model_id: str
    dataset_id: str

    def spec(self, **changes: Any) -> dict[str, Any]:
        return {"model_id": self.model_id, "dataset_id": self.dataset_id, "steps": [PRUNE]} | changes


def upload(running: Running, kind: uploads.Kind, *, state: str = "ready") -> str:
    """A row of an upload whose check, if any, has ended so. Returns its id."""
    unique = new_id("job").replace("job_", "sha256:")
    with running.parts.database.write() as session:
        row, check = uploads.register(
            session, kind, digest=unique, num_bytes=8, name=f"some {kind}", format="x", reading=Reading(), now=now()
        )
        assert check is not None
        check_id = check.id
    if state == "checking":
        return row.id
    facts = MODEL if kind == "model" else DATASET
    ready = Outcome(JobState.SUCCEEDED, summary=facts.model_dump(mode="json"))
    refused = Outcome(JobState.FAILED, failure=REJECTIONS[kind].failure("check"))
    end(running, check_id, ready if state == "ready" else refused)
    return row.id


def pair(running: Running) -> Pair:
    """A model and a data set, both ready."""
    return Pair(upload(running, "model"), upload(running, "dataset"))


def job(running: Running, **changes: Any) -> str:
    """A queued job of its own model and data set, unless ``changes`` name others. Returns its id."""
    needed = {} if {"model_id", "dataset_id"} <= changes.keys() else pair(running).spec()
    spec = CompressSpec.model_validate(needed | {"steps": [PRUNE]} | changes)
    with running.parts.database.write() as session:
        return creation.create_job(session, spec, now=now()).id


def take(running: Running, job_id: str) -> Job:
    """Claim a job, as a worker does."""
    with running.parts.database.write() as session:
        claimed = lifecycle.claim(session, job_id, lease_seconds=60, now=now())
    assert claimed is not None
    return claimed


def end(running: Running, job_id: str, outcome: Outcome) -> None:
    """Claim a job and end it, as a worker does."""
    claimed = take(running, job_id)
    with running.parts.database.write() as session:
        assert lifecycle.finish(session, job_id, claimed.attempt, outcome, steps=steps.steps_of(claimed), now=now())


def succeed(running: Running, job_id: str, files: dict[str, tuple[str, bytes]]) -> None:
    """End a job with these files: name to media type and content."""
    stored = []
    running.data_dir.mkdir(exist_ok=True)  # where all its state is elsewhere, a gateway makes none
    for name, (media_type, content) in files.items():
        path = running.data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest, num_bytes = running.parts.store.put(path)
        stored.append(StoredFile(name, media_type, digest, num_bytes))
    end(running, job_id, Outcome(JobState.SUCCEEDED, files=stored))
