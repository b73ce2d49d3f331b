"""How long things are kept, and the end of jobs."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from infra.cleanup import retention
from infra.db.database import now
from infra.db.tables import Job
from infra.uploads import uploads
from secateur import errors
from secateur.frozen import Frozen
from service.accounts.caller import UseCaller
from service.components import UseComponents
from service.http.problems import responses
from service.routes import jobs as job_routes
from service.routes import uploads as upload_routes
from service.views.resources import DatasetView, JobView, ModelView, dataset_view, job_view, model_view

router = APIRouter(prefix="/v1")

KEEP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable, errors.StorageFull)


class Keeping(Frozen):
    """How long to keep something."""

    expires_in_days: float | None = Field(gt=0, le=36_500, description="From now on; null: for ever.")

    def expires_at(self) -> datetime | None:
        """The end as a time."""
        return None if self.expires_in_days is None else retention.expiry(self.expires_in_days, now=now())


@router.patch("/models/{model_id}", operation_id="keep_model", tags=["models"], responses=KEEP_ERRORS)
def keep_model(parts: UseComponents, caller: UseCaller, model_id: str, keeping: Keeping) -> ModelView:
    """Set when a model may be removed."""
    with parts.database.write() as session:
        row = uploads.get(session, "model", model_id, hold=True)
        upload = upload_routes.found(row, "model", model_id, caller)
        upload.expires_at = keeping.expires_at()
        return model_view(upload)


@router.patch("/datasets/{dataset_id}", operation_id="keep_dataset", tags=["datasets"], responses=KEEP_ERRORS)
def keep_dataset(parts: UseComponents, caller: UseCaller, dataset_id: str, keeping: Keeping) -> DatasetView:
    """Set when a data set may be removed."""
    with parts.database.write() as session:
        row = uploads.get(session, "dataset", dataset_id, hold=True)
        upload = upload_routes.found(row, "dataset", dataset_id, caller)
        upload.expires_at = keeping.expires_at()
        return dataset_view(upload)


@router.patch("/jobs/{job_id}", operation_id="keep_job", tags=["jobs"], responses=KEEP_ERRORS)
def keep_job(parts: UseComponents, caller: UseCaller, job_id: str, keeping: Keeping) -> JobView:
    """Set when a job and its files may be removed, once it has ended."""
    with parts.database.write() as session:
        job = job_routes.found(session.get(Job, job_id, with_for_update=True), job_id, caller)
        job.expires_at = keeping.expires_at()
        return job_view(session, job)


@router.delete(
    "/jobs/{job_id}",
    operation_id="delete_job",
    tags=["jobs"],
    status_code=204,
    responses=responses(errors.InvalidRequest, errors.NotFound, errors.InUse, errors.Unavailable, errors.StorageFull),
)
def delete_job(parts: UseComponents, caller: UseCaller, job_id: str) -> None:
    """Delete a job that has ended, its trials, its files and, when nothing else has the same content, their bytes."""
    with retention.removing(parts.database, parts.store) as removal:
        job = job_routes.found(removal.session.get(Job, job_id, with_for_update=True), job_id, caller)
        if job.upload_id is not None:
            raise errors.InUse(
                f"{job_id} is the check of {job.upload_id}.", suggestions=["Delete the upload; this deletes its check."]
            )
        retention.remove_job(removal, job)
