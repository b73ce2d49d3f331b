"""What a job leaves: its report and its files, with ranges, validators and digests."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from infra.db.tables import Artifact
from infra.jobs import queries
from secateur import errors
from secateur.protocol.states import FINAL, JobState
from service.accounts.caller import Caller, UseCaller
from service.components import Components, UseComponents
from service.http.problems import responses
from service.http.ranges import requested_range
from service.routes.jobs import found
from service.views.resources import ArtifactList, artifact_view

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["artifacts"])

ANY: dict[str, Any] = {"content": {"*/*": {}}}
"""The list of files tells of what type each is."""
REPORT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report, as JSON or, if `Accept` prefers it, as a page.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/html": {"schema": {"type": "string"}},
        },
    },
    304: {"description": "The report is what `If-None-Match` says."},
    **responses(errors.InvalidRequest, errors.NotFound, errors.NotReady, errors.Unavailable),
}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: ANY | {"description": "The file."},
    206: ANY | {"description": "A part of the file."},
    304: {"description": "The file is what `If-None-Match` says."},
    **responses(
        errors.InvalidRequest, errors.NotFound, errors.NotReady, errors.RangeNotSatisfiable, errors.Unavailable
    ),
}
LIST_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)


@router.get("/artifacts", operation_id="list_artifacts", responses=LIST_ERRORS)
def list_artifacts(parts: UseComponents, caller: UseCaller, job_id: str) -> ArtifactList:
    """The files of a job; none before it has succeeded."""
    with parts.database.read() as session:
        found(queries.get(session, job_id), job_id, caller)
        return ArtifactList(data=tuple(map(artifact_view, queries.artifacts(session, job_id))))


@router.head("/artifacts/{name}", operation_id="head_artifact", response_class=Response, responses=FILE_RESPONSES)
@router.get("/artifacts/{name}", operation_id="get_artifact", response_class=Response, responses=FILE_RESPONSES)
async def get_artifact(
    request: Request,
    parts: UseComponents,
    caller: UseCaller,
    job_id: str,
    name: str,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Response:
    """Download a file. `ETag` and `Repr-Digest` are its SHA-256; ranges and conditions are honoured."""
    artifact = await run_in_threadpool(_find, parts, caller, job_id, name)
    headers = _headers(artifact) | {"Content-Disposition": f'attachment; filename="{artifact.name}"'}
    return await _answer(parts, request, artifact, headers, range_, if_range, if_none_match)


@router.head("/report", operation_id="head_report", response_class=Response, responses=REPORT_RESPONSES)
@router.get(
    "/report",
    operation_id="get_report",
    response_class=Response,
    responses=REPORT_RESPONSES,
)
async def get_report(
    request: Request,
    parts: UseComponents,
    caller: UseCaller,
    job_id: str,
    accept: Annotated[str, Header()] = "*/*",
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Response:
    """What was measured, before and after. Send `Accept: text/html` for the page with plots."""
    as_page = "text/html" in accept and "application/json" not in accept.partition("text/html")[0]
    artifact = await run_in_threadpool(_find, parts, caller, job_id, "report.html" if as_page else "report.json")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    headers = _headers(artifact) | {"Vary": "Accept", "Content-Security-Policy": policy}
    return await _answer(parts, request, artifact, headers, None, None, if_none_match)


def _find(parts: Components, caller: Caller, job_id: str, name: str) -> Artifact:
    with parts.database.read() as session:
        job = found(queries.get(session, job_id), job_id, caller)
        files = {artifact.name: artifact for artifact in queries.artifacts(session, job_id)}
        state = JobState(job.state)
    if name in files:
        return files[name]
    if not files and name.startswith("report."):
        ended = f"it ended {state}, so there is none" if state in FINAL else f"it is {state}"
        raise errors.NotReady(f"{job_id} has no report: {ended}.", suggestions=[f"GET /v1/jobs/{job_id} says why."])
    raise errors.NotFound(
        f"{job_id} has no file {name!r}.", suggestions=[f"Its files: {', '.join(sorted(files)) or 'none yet'}."]
    )


def _headers(artifact: Artifact) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(artifact.digest.removeprefix("sha256:"))).decode()
    return {
        "ETag": f'"{artifact.digest}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }


async def _answer(
    parts: Components,
    request: Request,
    artifact: Artifact,
    headers: dict[str, str],
    range_: str | None,
    if_range: str | None,
    if_none_match: str | None,
) -> Response:
    """The whole file, a part of it, or the word that it has not changed."""
    if if_none_match is not None and (if_none_match.strip() == "*" or headers["ETag"] in if_none_match):
        return Response(status_code=304, headers=headers)
    size = artifact.num_bytes
    part = requested_range(range_ if if_range in (None, headers["ETag"]) else None, size)
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part is None:
        headers["Content-Digest"] = headers["Repr-Digest"]
    else:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=artifact.media_type)
    body = parts.store.read(artifact.digest, start=start, end=end)
    first = await anext(body, b"")  # before the status is sent: a store that fails must not answer 200
    return StreamingResponse(_chain(first, body), status_code=status, headers=headers, media_type=artifact.media_type)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
