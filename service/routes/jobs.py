"""Jobs: post, list, look at, wait for, cancel."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from infra.accounts import owner_limits, quotas
from infra.db import locks
from infra.db.tables import Job
from infra.jobs import lifecycle, queries, trials
from secateur import errors
from secateur.ids import kind_of
from secateur.protocol.states import FINAL, JobState
from secateur.protocol.work import WorkKind
from secateur.specs.kinds import JobSpec
from service.accounts.caller import Caller, UseCaller
from service.components import Components, UseComponents
from service.http import paging
from service.http.problems import responses
from service.jobs import submit
from service.jobs.dispatch import notify_workers
from service.views.examples import EXAMPLES
from service.views.resources import JobPage, JobView, job_view

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LOOK_SECONDS = 1.0
Label = Annotated[str, Field(json_schema_extra={"pattern": "^[^:]*:"})]
AT_ONCE: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "The job was here already, or has ended while you waited."}
}
LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)


@router.post(
    "",
    operation_id="create_job",
    status_code=202,
    response_model=JobView,
    responses=AT_ONCE
    | responses(
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
        errors.IdempotencyInFlight,
        errors.IdempotencyKeyReused,
        errors.Unavailable,
        errors.StorageFull,
    ),
)
async def create_job(
    request: Request,
    parts: UseComponents,
    caller: UseCaller,
    spec: Annotated[JobSpec, Body(openapi_examples=EXAMPLES)],
    force: Annotated[bool, Query(description="Make a new job although one with the same spec is here.")] = False,
    idempotency_key: Annotated[
        str | None, Header(pattern="^[!-~]{1,255}$", description="Requests with the same key make one job.")
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=30`: answer when the job has ended, or after 30 s.")
    ] = None,
) -> Response:
    """Queue a job. It is accepted if and only if its row was written; follow `Location`."""
    seconds = submit.preferred_wait(prefer)
    order = submit.Order(spec, caller, key=idempotency_key, force=force, waits=seconds is not None)
    answer = await run_in_threadpool(submit.take, parts, order)
    if seconds is not None and not answer.is_replayed:
        await _until_ended(request, parts, answer.job_id, seconds)
        answer = await run_in_threadpool(submit.answer_now, parts, order, answer)
    return answer.response(waited=seconds)


async def _until_ended(request: Request, parts: Components, job_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    async with parts.feed.reading(job_id) as channel:
        while channel is not None and not channel.ended and (left := deadline - time.monotonic()) > 0:
            if parts.leaving.is_set() or await request.is_disconnected():
                return
            await channel.wait(min(left, 1.0), since=channel.changed)


@router.get(
    "",
    operation_id="list_jobs",
    response_model=JobPage,
    responses=responses(errors.InvalidRequest, errors.Unavailable),
)
def list_jobs(
    parts: UseComponents,
    caller: UseCaller,
    state: JobState | None = None,
    kind: Annotated[WorkKind | None, Query(description="Default: all but checks of uploads.")] = None,
    model_id: str | None = None,
    dataset_id: str | None = None,
    parent_id: Annotated[str | None, Query(description="The trials of this sweep. Default: all but trials.")] = None,
    label: Annotated[Sequence[Label], Query(description="`key:value`; several must all be there.")] = (),
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> Response:
    """Jobs, newest first."""
    wanted = queries.Filter(
        owner=caller.only,
        state=state,
        kind=kind,
        model_id=model_id,
        dataset_id=dataset_id,
        parent_id=parent_id,
        labels=dict(map(_label, label)),
    )
    with parts.database.read() as session:
        rows = queries.page(session, wanted, limit=limit + 1, after=paging.decode(cursor))
        shown, next_cursor = paging.cut(rows, limit)
        page = JobPage(
            data=tuple(job_view(session, job) for job in shown),
            next_cursor=next_cursor,
            counts=queries.counts(session, replace(wanted, state=None)),
        )
    return Response(page.model_dump_json(), media_type="application/json")  # here, in a thread: it may be megabytes


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
    parts: UseComponents,
    caller: UseCaller,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for an end or a change.")] = 0,
) -> JobView:
    """A job. With `wait`, answers when something about it changes, or when the time is up."""
    first = await run_in_threadpool(_read, parts, caller, job_id)
    if not wait or first.state in FINAL:
        return first
    return await _when_changed(request, parts, partial(_read, parts, caller, job_id), first, wait)


async def _when_changed(
    request: Request, parts: Components, read: Callable[[], JobView], first: JobView, seconds: float
) -> JobView:
    """Look again when the job has an event, and now and then: its place in the queue changes without one."""
    deadline, latest = time.monotonic() + seconds, first
    async with parts.feed.reading(first.id) as channel:
        while channel is not None and latest == first and (left := deadline - time.monotonic()) > 0:
            if parts.leaving.is_set() or await request.is_disconnected():
                break
            await channel.wait(min(left, LOOK_SECONDS), since=channel.changed)
            latest = await parts.feed.in_thread(read)
    return latest


def _read(parts: Components, caller: Caller, job_id: str) -> JobView:
    with parts.database.read() as session:
        return job_view(session, found(queries.get(session, job_id), job_id, caller))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    status_code=202,
    responses=responses(
        errors.InvalidRequest, errors.NotFound, errors.NotCancellable, errors.Unavailable, errors.StorageFull
    ),
)
def cancel_job(parts: UseComponents, caller: UseCaller, job_id: str) -> JobView:
    """Ask a job to stop. Asking twice is asking once; a job that has ended answers 409."""
    with parts.database.write() as session:
        job = found(queries.get(session, job_id), job_id, caller)
        if job.upload_id is not None:
            raise errors.NotCancellable(
                f"{job_id} is the check of {job.upload_id}.", suggestions=["Delete the upload; this cancels its check."]
            )
        state = lifecycle.cancel(session, job_id)
        if state is None:
            raise errors.NotCancellable(f"{job_id} has ended already.")
        trials.cancel(session, job_id)
        session.expire_all()
        return job_view(session, found(queries.get(session, job_id), job_id, caller))


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    status_code=202,
    responses=responses(
        errors.InvalidRequest,
        errors.NotFound,
        errors.NotRetryable,
        errors.InputRejected,
        errors.QuotaExceeded,
        errors.Unavailable,
        errors.StorageFull,
    ),
)
def retry_job(parts: UseComponents, caller: UseCaller, job_id: str) -> JobView:
    """Queue one more attempt at a job that failed, was cancelled or expired; of a sweep, the trials that missed."""
    with parts.database.write() as session:
        job = found(queries.get(session, job_id), job_id, caller)
        _check_retryable(job)
        locks.hold(session, "owner", [job.owner])
        quotas.check_queue(session, job.owner, owner_limits.effective(session, job.owner, settings=parts.settings))
        submit.held_input(session, caller, "model", str(job.model_id), field="model_id")
        submit.held_input(session, caller, "dataset", str(job.dataset_id), field="dataset_id")
        again = trials.retry(session, job)
        if not again:
            hint = "POST /v1/jobs?force=true with its spec makes another job."
            raise errors.NotRetryable(f"{job_id} is {job.state}.", suggestions=[hint])
        session.expire_all()
        view = job_view(session, found(queries.get(session, job_id), job_id, caller))
    for waiting in again:
        notify_workers(parts, waiting)
    return view


def _check_retryable(job: Job) -> None:
    if job.upload_id is not None:
        raise errors.NotRetryable(f"{job.id} is the check of {job.upload_id}.", suggestions=["Upload the file again."])
    if job.parent_id is not None:
        raise errors.NotRetryable(
            f"{job.id} is a trial of {job.parent_id}.", suggestions=[f"POST /v1/jobs/{job.parent_id}/retry"]
        )


def found(job: Job | None, job_id: str, caller: Caller) -> Job:
    """The row, or ``NotFound``, also when it is somebody else's."""
    if job is None or not caller.sees(job.owner):
        kind = kind_of(job_id)
        named = f" {job_id} names {kind}." if kind not in (None, "a job") else ""
        raise errors.NotFound(f"There is no job {job_id}.{named}", suggestions=["GET /v1/jobs lists the jobs."])
    return job
