"""What happened to a job: as a stream that goes on, or page by page."""

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from infra.jobs import events, queries
from secateur import errors
from secateur.protocol.events import EventKind, JobEvent, Level, at_least
from secateur.protocol.states import FINAL
from service.accounts.caller import Caller, UseCaller
from service.components import Components, UseComponents
from service.event_feed import Feed
from service.http.problems import responses
from service.routes.jobs import found
from service.views.resources import EventPage

router = APIRouter(prefix="/v1/jobs", tags=["events"])

STREAM: Final = "text/event-stream"
PING_SECONDS: Final = 15.0
RETRY_MS: Final = 2_000
_NUMBER: Final = re.compile("[0-9]{1,9}")
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": EventPage,
        "description": "Events in their order.",
        "content": {STREAM: {"schema": {"type": "string"}}},
    },
    204: {
        "description": "To a stream: the job has ended, and there is nothing behind `Last-Event-ID`. Do not reconnect."
    },
}


@router.get(
    "/{job_id}/events",
    operation_id="list_events",
    response_model=EventPage,
    responses=ANSWERS | responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable),
)
async def list_events(
    request: Request,
    parts: UseComponents,
    caller: UseCaller,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only events behind this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to return at most; not for a stream.")] = 200,
    level: Annotated[Level, Query(description="Only events that are at least this grave.")] = "info",
    kind: Annotated[Sequence[EventKind], Query(description="Only these kinds. Default: all.")] = (),
    attempt: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only events of this attempt.")] = None,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for an event; not for a stream.")] = 0,
    last_event_id: Annotated[str | None, Header(description="Number of the last event that a stream has sent.")] = None,
) -> Response:
    """Events of a job. With `Accept: text/event-stream`, all there are and each as it comes until the job ends."""
    if STREAM in request.headers.get("accept", ""):
        start = int(last_event_id) if last_event_id and _NUMBER.fullmatch(last_event_id) else after

        def wanted(event: JobEvent) -> bool:
            return (
                event.level in at_least(level) and (not kind or event.kind in kind) and attempt in (None, event.attempt)
            )

        if await parts.feed.in_thread(_is_over, parts, caller, job_id, start):
            return Response(status_code=204)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventSourceResponse(stream(parts.feed, job_id, start, wanted), headers=headers)

    def read() -> EventPage:
        return _page(parts, caller, job_id, after=after, limit=limit, level=level, kinds=tuple(kind), attempt=attempt)

    page = await parts.feed.in_thread(read)
    if wait and not page.data and not page.ended:
        page = await _wait(request, parts, job_id, read, page, wait)
    return Response(page.model_dump_json(), media_type="application/json")


def _is_over(parts: Components, caller: Caller, job_id: str, after: int) -> bool:
    with parts.database.read() as session:
        job = found(queries.get(session, job_id), job_id, caller)
        return job.state in FINAL and after >= job.last_event


def _page(parts: Components, caller: Caller, job_id: str, *, after: int, limit: int, **wanted: Any) -> EventPage:
    with parts.database.read() as session:
        job = found(queries.get(session, job_id), job_id, caller)
        data = events.page(session, job_id, after=after, limit=limit, **wanted)
        is_full = len(data) == limit
        behind = data[-1].number if is_full else max(after, job.last_event)
        return EventPage(data=tuple(data), next_after=behind, ended=not is_full and job.state in FINAL)


async def _wait(
    request: Request, parts: Components, job_id: str, read: Callable[[], EventPage], page: EventPage, seconds: float
) -> EventPage:
    deadline = time.monotonic() + seconds
    async with parts.feed.reading(job_id) as channel:
        while channel is not None and not page.data and not page.ended:
            changed = channel.changed
            page = await parts.feed.in_thread(read)
            left = deadline - time.monotonic()
            if page.data or page.ended or left <= 0 or parts.leaving.is_set() or await request.is_disconnected():
                break
            await channel.wait(left, since=changed)
    return page


async def stream(feed: Feed, job_id: str, after: int, wanted: Callable[[JobEvent], bool]) -> AsyncIterator[bytes]:
    """Events behind a number as they go over the wire, until the job has ended or the gateway is told to go.

    A database that does not answer ends the stream too: its reader comes back, and is told 503 until it answers.
    """
    yield format_sse_event(retry=RETRY_MS)
    with suppress(errors.ServiceError):
        async for piece in _pieces(feed, job_id, after, wanted):
            yield piece


async def _pieces(feed: Feed, job_id: str, after: int, wanted: Callable[[JobEvent], bool]) -> AsyncIterator[bytes]:
    spoke = time.monotonic()
    async with feed.reading(job_id) as channel:
        while channel is not None and not feed.leaving.is_set():
            changed = channel.changed
            batch = await feed.since(channel, after)
            for event in batch:
                after = event.number
                if wanted(event):
                    spoke = time.monotonic()
                    yield format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=str(event.number))
            if batch:
                continue
            if channel.ended:
                return
            left = spoke + PING_SECONDS - time.monotonic()
            if left <= 0:
                spoke = time.monotonic()
                yield KEEPALIVE_COMMENT
            else:
                await channel.wait(left, since=changed)
