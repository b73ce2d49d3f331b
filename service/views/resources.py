"""What the API answers: rows as frozen models."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from infra.db.tables import Artifact, Job, ResumableUpload, Upload
from infra.jobs import queries, trials
from secateur.errors import Failure
from secateur.frozen import Frozen
from secateur.protocol.events import JobEvent
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import JobState, UploadState
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.reading import Reading
from secateur.specs.scale import Scales
from secateur.specs.spec import Limits


class UploadView(Frozen):
    """What models and data sets have in common."""

    id: str
    owner: str
    name: str = Field(description="The file name that it was uploaded with first.")
    digest: str
    num_bytes: int
    format: str
    state: UploadState = Field(description="`checking` until a worker has looked at it.")
    failure: Failure | None = Field(description="Why it was rejected.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it may be removed; null: never.")


class ModelView(UploadView):
    """An uploaded model."""

    summary: ModelSummary | None = Field(description="Layers, inputs and outputs, once it is `ready`.")


class ResumableView(Frozen):
    """An upload that comes in pieces, and what became of it."""

    id: str
    owner: str
    kind: Literal["model", "dataset"]
    name: str
    num_bytes: int
    offset: int = Field(description="Bytes that are here to stay.")
    state: Literal["receiving", "received", "accepted", "refused"] = Field(
        description="`received`: all bytes are here and are yet to be looked at; `accepted`: see `upload_id`."
    )
    upload_id: str | None = Field(description="The model or data set that it became.")
    failure: Failure | None = Field(description="Why it became none.")
    created_at: datetime
    expires_at: datetime = Field(description="When it is forgotten, unless another piece comes.")


class DatasetEntry(UploadView):
    """A data set as a list shows it, without its summary, which may be megabytes."""

    scale: Scales
    reading: Reading = Field(description="What was declared of it, with every default filled in.")


class DatasetView(DatasetEntry):
    """An uploaded data set."""

    summary: DatasetSummary | None = Field(description="Splits, shapes and classes, once it is `ready`.")


class ModelPage(Frozen):
    """Some models, newest first. What was found of each: `GET /v1/models/{model_id}`."""

    data: tuple[UploadView, ...]
    next_cursor: str | None


class DatasetPage(Frozen):
    """Some data sets, newest first. What was found of each: `GET /v1/datasets/{dataset_id}`."""

    data: tuple[DatasetEntry, ...]
    next_cursor: str | None


class JobView(Frozen):
    """A job. `steps` tell what it is doing."""

    id: str
    owner: str
    kind: str
    state: JobState
    steps: tuple[StepProgress, ...]
    attempt: int
    charged: int = Field(
        description="Attempts that count towards the bound: not those given back by a worker that left."
    )
    queue_position: int | None = Field(
        description="Older jobs of all kinds and owners that wait for the same workers; null when it does not wait."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When it may be removed, once it has ended; null: never.")
    limits: Limits | None
    spec: Mapping[str, Any] = Field(description="The spec with every default filled in.")
    spec_digest: str | None
    failure: Failure | None
    labels: Mapping[str, str]
    parent_id: str | None = Field(description="The sweep that this job is a trial of.")
    deduplicated: bool = Field(default=False, description="This job was here already when its spec was posted again.")
    links: Mapping[str, str]


class JobPage(Frozen):
    """Some jobs, newest first."""

    data: tuple[JobView, ...]
    next_cursor: str | None
    counts: Mapping[JobState, int] = Field(description="Jobs that pass the other filters, by state.")


class EventPage(Frozen):
    """Some events of a job, the oldest first."""

    data: tuple[JobEvent, ...]
    next_after: int = Field(description="`after` of the page behind this one.")
    ended: bool = Field(description="The job has ended and there is nothing behind this page.")


class ArtifactView(Frozen):
    """A file that a job left."""

    name: str
    media_type: str
    digest: str
    num_bytes: int
    url: str


class ArtifactList(Frozen):
    """The files of a job."""

    data: tuple[ArtifactView, ...]


class Readiness(Frozen):
    """Whether jobs can be taken, and what is missing."""

    status: Literal["ready", "not_ready"]
    checks: Mapping[str, str] = Field(description="`ok`, or for each part that is missing why: to admins only.")
    sandbox: Mapping[str, str] = Field(
        default_factory=dict,
        description="What the jobs of each worker are confined by, by the worker's name. To admins only.",
    )


class Discovery(Frozen):
    """Where everything is."""

    name: Literal["secateur"] = "secateur"
    version: str
    authentication: Literal["none", "api_key"] = Field(
        description="`none`: the service has no keys and listens to its own machine only."
    )
    docs_url: str = "/docs"
    openapi_url: str = "/openapi.json"
    models_url: str = "/v1/models"
    datasets_url: str = "/v1/datasets"
    jobs_url: str = "/v1/jobs"
    keys_url: str = "/v1/keys"
    usage_url: str = "/v1/usage"
    schema_url: str = "/v1/schemas/compress"
    methods_url: str = "/v1/methods"
    health_url: str = "/health/ready"


def model_view(upload: Upload) -> ModelView:
    """A row as a model."""
    return ModelView.model_validate(_upload_fields(upload) | {"summary": upload.summary})


def model_entry(upload: Upload) -> UploadView:
    """A row in a list of models."""
    return UploadView.model_validate(_upload_fields(upload))


def dataset_view(upload: Upload) -> DatasetView:
    """A row as a data set."""
    return DatasetView.model_validate(dict(dataset_entry(upload)) | {"summary": upload.summary})


def dataset_entry(upload: Upload) -> DatasetEntry:
    """A row in a list of data sets."""
    reading = Reading.model_validate(upload.reading)
    return DatasetEntry.model_validate(_upload_fields(upload) | {"scale": reading.scale, "reading": reading})


def resumable_view(row: ResumableUpload) -> ResumableView:
    """A row as a resumable upload."""
    names = ("id", "owner", "kind", "name", "num_bytes", "offset", "upload_id", "failure", "created_at", "expires_at")
    state = "received" if row.offset == row.num_bytes else "receiving"
    state = "accepted" if row.upload_id is not None else "refused" if row.failure is not None else state
    return ResumableView.model_validate({name: getattr(row, name) for name in names} | {"state": state})


def _upload_fields(upload: Upload) -> dict[str, Any]:
    names = (
        "id",
        "owner",
        "name",
        "digest",
        "num_bytes",
        "format",
        "state",
        "failure",
        "created_at",
        "expires_at",
    )
    return {name: getattr(upload, name) for name in names}


def job_view(session: Session, job: Job, *, deduplicated: bool = False) -> JobView:
    """A row as a job."""
    here = f"/v1/jobs/{job.id}"
    links = {"self": here, "report": f"{here}/report", "artifacts": f"{here}/artifacts", "events": f"{here}/events"}
    links |= {"cancel": f"{here}/cancel", "retry": f"{here}/retry"}
    if job.kind == "sweep":
        links["trials"] = f"/v1/jobs?parent_id={job.id}"
    return JobView(
        id=job.id,
        owner=job.owner,
        kind=job.kind,
        state=JobState(job.state),
        steps=trials.steps_of(session, job),
        attempt=job.attempt,
        charged=job.charged,
        queue_position=queries.queue_position(session, job),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        limits=job.spec.get("limits"),
        spec=job.spec,
        spec_digest=job.spec_digest,
        failure=None if job.failure is None else Failure.model_validate(job.failure),
        labels=job.spec.get("labels", {}),
        parent_id=job.parent_id,
        deduplicated=deduplicated,
        links=links,
    )


def artifact_view(artifact: Artifact) -> ArtifactView:
    """A row as an artifact."""
    return ArtifactView(
        name=artifact.name,
        media_type=artifact.media_type,
        digest=artifact.digest,
        num_bytes=artifact.num_bytes,
        url=f"/v1/jobs/{artifact.job_id}/artifacts/{artifact.name}",
    )
