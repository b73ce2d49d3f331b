"""Jobs: post, list, look at, wait for, cancel."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from infra import families, job_list, jobs, locks, quotas, retention, uploads
from infra.database import now
from infra.logs import logger
from infra.tables import Job, Upload
from jobspec import errors
from jobspec.fit import check_fit
from jobspec.ids import kind_of
from jobspec.kinds import JobSpec
from jobspec.states import FINAL, JobState, UploadState
from jobspec.summaries import DatasetSummary, ModelSummary
from jobspec.work import WorkKind
from service import paging
from service.caller import Caller, UseCaller
from service.doorbell import ring
from service.parts import Parts, UseParts
from service.problems import responses
from service.views import JobPage, JobView, job_view

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_SECONDS = 0.25
LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)
EXAMPLES: dict[str, Any] = {
    "preset": {
        "summary": "Three fields are enough",
        "value": {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20, "preset": "balanced"},
    },
    "steps": {
        "summary": "A recipe of your own",
        "value": {
            "kind": "compress",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "steps": [
                {"kind": "prune", "sparsity": 0.9, "schedule": {"kind": "polynomial", "epochs": 6}},
                {"kind": "finetune", "epochs": 3},
                {"kind": "quantize", "scheme": "int8"},
            ],
        },
    },
    "channels": {
        "summary": "Half of the arithmetic, by taking channels away",
        "value": {
            "kind": "compress",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "steps": [
                {"kind": "prune", "structure": "channel", "macs": 0.5},
                {"kind": "finetune", "epochs": 3},
                {"kind": "quantize", "scheme": "int8"},
            ],
        },
    },
    "sensitivity": {
        "summary": "Measure what each layer takes",
        "value": {
            "kind": "sensitivity",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "sparsities": [0.5, 0.8, 0.9],
        },
    },
    "sweep": {
        "summary": "How much can be cut? A curve for weights and one for channels",
        "value": {
            "kind": "sweep",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "methods": {
                "weights": [{"kind": "prune", "schedule": {"kind": "one_shot"}}],
                "channels": [{"kind": "prune", "structure": "channel"}],
            },
            "sparsities": [0.25, 0.5, 0.75, 0.9],
            "random_baseline": True,
        },
    },
    "search": {
        "summary": "As much as can go for one point of accuracy",
        "value": {
            "kind": "search",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "goals": {"max_accuracy_drop": 0.01},
        },
    },
}


@router.post(
    "",
    operation_id="create_job",
    status_code=202,
    responses=responses(
        errors.InvalidRequest,
        errors.NotFound,
        errors.WrongKind,
        errors.InputRejected,
        errors.UnknownLayer,
        errors.LayerNotPrunable,
        errors.NothingToPrune,
        errors.StructureMismatch,
        errors.CriterionUnserved,
        errors.HeldOutDataMissing,
        errors.InputShapeMismatch,
        errors.LabelsMismatch,
        errors.QuotaExceeded,
        errors.Unavailable,
        errors.StorageFull,
    ),
)
def create_job(
    parts: UseParts, caller: UseCaller, response: Response, spec: Annotated[JobSpec, Body(openapi_examples=EXAMPLES)]
) -> JobView:
    """Queue a job. It is accepted if and only if its row was written; follow `Location`."""
    limits = quotas.limits_of(parts.settings)
    with parts.database.write() as session:
        locks.hold(session, "owner", [caller.owner])
        quotas.check_queue(session, caller.owner, limits)
        quotas.check_room(session, caller.owner, 0, limits)
        model = _input(session, caller, "model", spec.model_id, field="model_id")
        dataset = _input(session, caller, "dataset", spec.dataset_id, field="dataset_id")
        if model.summary is not None and dataset.summary is not None:
            check_fit(spec, ModelSummary.model_validate(model.summary), DatasetSummary.model_validate(dataset.summary))
        job = jobs.create(
            session,
            spec,
            owner=caller.owner,
            expires_at=retention.expiry(parts.settings.keep_jobs_days, now=now()),
            now=now(),
        )
        session.flush()
        view = job_view(session, job)
    ring(parts, job)
    logger("gateway").info("job accepted", job=job.id, model=model.id, dataset=dataset.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return view


def _input(session: Session, caller: Caller, kind: uploads.Kind, upload_id: str, *, field: str) -> Upload:
    """The upload that a spec names, unless it was rejected."""
    upload = uploads.get(session, kind, upload_id, hold=True)
    if upload is None or not caller.sees(upload.owner):
        raise errors.NotFound(
            f"{field}: there is nothing with the id {upload_id}.",
            errors=[errors.FieldError(field=field, messages=("not found",))],
            suggestions=[f"GET /v1/{kind}s lists what is here."],
        )
    if upload.state == UploadState.REJECTED:
        failure = errors.Failure.model_validate(upload.failure)
        raise errors.InputRejected(
            f"{upload_id} was rejected: {failure.detail}",
            errors=[errors.FieldError(field=field, messages=(failure.code,))],
            suggestions=failure.suggestions,
        )
    return upload


@router.get("", operation_id="list_jobs", responses=responses(errors.InvalidRequest, errors.Unavailable))
def list_jobs(
    parts: UseParts,
    caller: UseCaller,
    state: JobState | None = None,
    kind: Annotated[WorkKind | None, Query(description="Default: all but checks of uploads.")] = None,
    model_id: str | None = None,
    dataset_id: str | None = None,
    parent_id: Annotated[str | None, Query(description="The trials of this sweep. Default: all but trials.")] = None,
    label: Annotated[Sequence[str], Query(description="`key:value`; several must all be there.")] = (),
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> JobPage:
    """Jobs, newest first."""
    wanted = job_list.Filter(
        owner=caller.only,
        state=state,
        kind=kind,
        model_id=model_id,
        dataset_id=dataset_id,
        parent_id=parent_id,
        labels=dict(map(_label, label)),
    )
    with parts.database.read() as session:
        rows = job_list.page(session, wanted, limit=limit + 1, after=paging.decode(cursor))
        shown, next_cursor = paging.cut(rows, limit)
        return JobPage(
            data=tuple(job_view(session, job) for job in shown),
            next_cursor=next_cursor,
            counts=job_list.counts(session, replace(wanted, state=None)),
        )


def _label(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise errors.InvalidRequest(
            f"The label {text!r} has no colon.",
            errors=[errors.FieldError(field="label", messages=("expected key:value",))],
            suggestions=[f"Write ?label={text}:value"],
        )
    return key, value


@router.get("/{job_id}", operation_id="get_job", responses=LOOKUP_ERRORS)
async def get_job(
    request: Request,
    parts: UseParts,
    caller: UseCaller,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for an end or a change.")] = 0,
) -> JobView:
    """A job. With `wait`, answers when something about it changes, or when the time is up."""
    deadline = time.monotonic() + wait
    first = latest = await run_in_threadpool(_read, parts, caller, job_id)
    while latest == first and latest.state not in FINAL and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(POLL_SECONDS, left))  # not in a thread: those that wait would keep out the others
        if parts.leaving.is_set() or await request.is_disconnected():
            break
        latest = await run_in_threadpool(_read, parts, caller, job_id)
    return latest


def _read(parts: Parts, caller: Caller, job_id: str) -> JobView:
    with parts.database.read() as session:
        return job_view(session, found(job_list.get(session, job_id), job_id, caller))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    status_code=202,
    responses=responses(
        errors.InvalidRequest, errors.NotFound, errors.NotCancellable, errors.Unavailable, errors.StorageFull
    ),
)
def cancel_job(parts: UseParts, caller: UseCaller, job_id: str) -> JobView:
    """Ask a job to stop. Asking twice is asking once; a job that has ended answers 409."""
    with parts.database.write() as session:
        job = found(job_list.get(session, job_id), job_id, caller)
        if job.upload_id is not None:
            raise errors.NotCancellable(
                f"{job_id} is the check of {job.upload_id}.", suggestions=["Delete the upload: its check goes with it."]
            )
        state = jobs.cancel(session, job_id, now=now())
        if state is None:
            raise errors.NotCancellable(f"{job_id} has ended already.")
        families.cancel(session, job_id, now=now())
        session.expire_all()
        return job_view(session, found(job_list.get(session, job_id), job_id, caller))


def found(job: Job | None, job_id: str, caller: Caller) -> Job:
    """The row, or ``NotFound``, also when it is somebody else's."""
    if job is None or not caller.sees(job.owner):
        kind = kind_of(job_id)
        named = f" {job_id} names {kind}." if kind not in (None, "a job") else ""
        raise errors.NotFound(f"There is no job {job_id}.{named}", suggestions=["GET /v1/jobs lists the jobs."])
    return job
