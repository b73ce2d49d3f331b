"""Builds the assignment of a child from the row of its job, with the blobs that the assignment names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy.orm import Session

from infra.db.tables import Artifact, Job, Upload
from infra.jobs import queries
from infra.jobs import trials as sweep_trials
from infra.uploads import uploads
from secateur.errors import Failure, FieldError, InputRejected, NotFound
from secateur.protocol.states import JobState, UploadState
from secateur.protocol.work import (
    Assignment,
    CheckDataset,
    CheckModel,
    Compress,
    EndedTrial,
    GatherTrials,
    MeasureBaseline,
    MeasureSensitivity,
    Search,
)
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.kinds import SPECS
from secateur.specs.pruning import Prune
from secateur.specs.reading import Reading
from secateur.specs.search import SearchSpec
from secateur.specs.sensitivity import SensitivitySpec
from secateur.specs.spec import CompressSpec
from secateur.specs.sweep import SweepSpec

OUT: Final = "out"
EARLIER: Final = "earlier.npz"
"""The checkpoint of an earlier attempt."""

BASELINE: Final = "baseline.npz"
"""The original model as its sweep measured it, for the trials."""

MAX_KNOWN: Final = 8
"""How many earlier measurements a child gets, the newest."""

SUMMARIES: Final[Mapping[str, type[BaseModel]]] = {"check_model": ModelSummary, "check_dataset": DatasetSummary}
"""The type of the summary that a check leaves, by kind of job. Other kinds leave files instead."""


@dataclass(frozen=True)
class CheckTime:
    """How long the check of an upload may take: a small file gets a short time, however much it asks for."""

    base_seconds: float = 180.0
    bytes_per_second: float = 2e6

    def seconds(self, num_bytes: int) -> float:
        """The time for the check of a file of so many bytes.

        >>> CheckTime(base_seconds=180, bytes_per_second=2e6).seconds(20_000_000)
        190.0
        """
        return self.base_seconds + num_bytes / self.bytes_per_second


@dataclass(frozen=True)
class Work:
    """What a child needs. ``inputs`` and ``known`` map names of files in its folder to digests in the store."""

    assignment: Assignment
    inputs: Mapping[str, str]
    max_runtime_seconds: float
    known: Mapping[str, str] = field(default_factory=dict)
    """Files that the child uses if they are there: earlier measurements, a checkpoint."""
    children: Sequence[CompressSpec] = ()
    """The trials that a sweep fans out into when the child has succeeded."""


def work_of(session: Session, job: Job, *, check_time: CheckTime) -> Work:
    """Return what the child of this job needs.

    Args:
        check_time: how long the check of an upload may run; a user's job says so itself.

    Raises:
        NotFound, InputRejected: the model or the data set was deleted, or rejected by its check.
    """
    check = _CHECKS.get(job.kind)
    return _WORK[job.kind](session, job) if check is None else check(session, job, check_time)


def _check_model(session: Session, job: Job, check_time: CheckTime) -> Work:
    upload = _upload(session, "model", job.upload_id, field="model_id")
    name = _model_name(upload)
    return Work(CheckModel(model=name), {name: upload.digest}, check_time.seconds(upload.num_bytes))


def _model_name(upload: Upload) -> str:
    """Return the model's file name in the child's folder. Its suffix says how to read it."""
    return f"model{PurePosixPath(upload.name.lower()).suffix}"


def _check_dataset(session: Session, job: Job, check_time: CheckTime) -> Work:
    upload = _upload(session, "dataset", job.upload_id, field="dataset_id")
    name = _dataset_name(upload)
    reading = Reading.model_validate(upload.reading)
    assignment = CheckDataset(dataset=name, reading=reading)
    return Work(assignment, {name: upload.digest}, check_time.seconds(upload.num_bytes))


def _dataset_name(upload: Upload) -> str:
    """Return the data set's file name in the child's folder. Its suffix says how to read it."""
    return "data" + PurePosixPath(upload.name.lower()).suffix


def _compress(session: Session, job: Job) -> Work:
    spec = CompressSpec.model_validate(job.spec)
    model, dataset = _inputs(session, spec)
    measures = any(isinstance(step, Prune) and step.distribution == "sensitivity" for step in spec.steps)
    known = _known(session, job, model, dataset) if measures else {}
    baseline = _artifacts(session, job.parent_id, BASELINE) if job.parent_id else {}
    assignment = Compress(
        spec=spec,
        sensitivity=tuple(known),
        baseline=next(iter(baseline), None),
        job_id=job.id,
        **_files(model, dataset),
        **_resume(job),
    )
    known |= baseline | _checkpoint(job)
    return Work(assignment, _named(model, dataset), float(spec.limits.max_runtime_seconds), known)


def _measured(make: type[MeasureSensitivity | Search], session: Session, job: Job) -> Work:
    """Return the work of a job that measures layers, with the measurements of earlier jobs."""
    spec = SPECS[job.kind].model_validate(job.spec)
    model, dataset = _inputs(session, spec)
    known = _known(session, job, model, dataset)
    named = {"spec": spec, "sensitivity": tuple(known), "job_id": job.id}
    assignment = make.model_validate(named | _files(model, dataset) | _resume(job))
    known |= _checkpoint(job)
    return Work(assignment, _named(model, dataset), float(spec.limits.max_runtime_seconds), known)


def _files(model: Upload, dataset: Upload) -> dict[str, Any]:
    """Return the fields of an assignment that name its files."""
    names = {"model": _model_name(model), "dataset": _dataset_name(dataset), "out": OUT}
    return names | {"reading": Reading.model_validate(dataset.reading)}


def _resume(job: Job) -> dict[str, Any]:
    """Return the field of an assignment that names the checkpoint to resume from."""
    return {"earlier": next(iter(_checkpoint(job)), None)}


def _checkpoint(job: Job) -> dict[str, str]:
    return {} if job.checkpoint_digest is None else {EARLIER: job.checkpoint_digest}


def _named(model: Upload, dataset: Upload) -> dict[str, str]:
    return {_model_name(model): model.digest, _dataset_name(dataset): dataset.digest}


def _sweep(session: Session, job: Job) -> Work:
    spec = SweepSpec.model_validate(job.spec)
    seconds = float(spec.limits.max_runtime_seconds)
    trials = sweep_trials.children(session, job.id)
    if trials:
        ended, inputs = _ended(session, trials)
        inputs |= _artifacts(session, job.id, BASELINE)
        took = sweep_trials.seconds(session, job.id)
        gather = GatherTrials(spec=spec, trials=ended, seconds=took, baseline=BASELINE, out=OUT)
        return Work(gather, inputs, seconds)
    model, dataset = _inputs(session, spec)
    assignment = MeasureBaseline(spec=spec, **_files(model, dataset))
    return Work(assignment, _named(model, dataset), seconds, children=tuple(map(spec.job_of, spec.trials())))


def _ended(session: Session, trials: Sequence[Job]) -> tuple[tuple[EndedTrial, ...], dict[str, str]]:
    """Return the ended trials, and the names and digests of their reports."""
    ended, inputs = [], dict[str, str]()
    for job in trials:
        report = _artifacts(session, job.id, "report.json")
        name = f"trial_{job.position}.json" if report else None
        inputs |= {f"trial_{job.position}.json": digest for digest in report.values()}
        failure = None if job.failure is None else Failure.model_validate(job.failure)
        ended.append(EndedTrial(job_id=job.id, state=JobState(job.state), report=name, failure=failure))
    return tuple(ended), inputs


def _artifacts(session: Session, job_id: str, name: str) -> dict[str, str]:
    found = session.get(Artifact, (job_id, name))
    return {} if found is None else {name: found.digest}


def _inputs(session: Session, spec: CompressSpec | SensitivitySpec | SweepSpec | SearchSpec) -> tuple[Upload, Upload]:
    model = _usable(_upload(session, "model", spec.model_id, field="model_id"), field="model_id")
    return model, _usable(_upload(session, "dataset", spec.dataset_id, field="dataset_id"), field="dataset_id")


def _known(session: Session, job: Job, model: Upload, dataset: Upload) -> dict[str, str]:
    contents = {"model_digest": model.digest, "dataset_digest": dataset.digest}
    digests = queries.artifact_digests(session, "sensitivity.json", owner=job.owner, **contents, limit=MAX_KNOWN)
    return {f"sensitivity_{number}.json": digest for number, digest in enumerate(digests)}


_CHECKS: Final[dict[str, Callable[[Session, Job, CheckTime], Work]]] = {
    "check_model": _check_model,
    "check_dataset": _check_dataset,
}
_WORK: Final[dict[str, Callable[[Session, Job], Work]]] = {
    "compress": _compress,
    "sensitivity": partial(_measured, MeasureSensitivity),
    "sweep": _sweep,
    "search": partial(_measured, Search),
}


def _upload(session: Session, kind: uploads.Kind, upload_id: str | None, *, field: str) -> Upload:
    upload = uploads.get(session, kind, upload_id or "")
    if upload is None:
        raise NotFound(
            f"The {kind} {upload_id} was deleted before the job began.",
            errors=[FieldError(field=field, messages=("no longer there",))],
            suggestions=["Upload it again and submit the job with the new id."],
        )
    return upload


def _usable(upload: Upload, *, field: str) -> Upload:
    if upload.state == UploadState.REJECTED:
        failure = upload.failure or {}
        raise InputRejected(
            f"{upload.name} was rejected: {failure.get('detail', 'no reason is known')}",
            errors=[FieldError(field=field, messages=(str(failure.get("code", "rejected")),))],
            suggestions=failure.get("suggestions", ()),
        )
    return upload
