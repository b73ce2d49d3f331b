"""Every error answer, also the framework's own, as RFC 9457 problem details of our error tree."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from infra.telemetry.logs import logger
from secateur.errors import (
    FieldError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestError,
    SecateurError,
    WrongKind,
)
from secateur.field_path import field_path
from secateur.ids import kind_of
from secateur.report_limits import MAX_NAMED
from secateur.specs.kinds import DEFAULT_KIND, SPECS, kind_of_spec
from service.http import suggestions as hints
from service.http.spec_schemas import field_names

MEDIA_TYPE = "application/problem+json"
NEW_JOB = "POST /v1/jobs"
MOST_HINTS = 10
"""Each is looked for among all names that there are."""

RETRY_SECONDS = {503: 5, 507: 60, 429: 60}
"""When to ask again, by status, unless the error knows better."""


class Problem(BaseModel):
    """RFC 9457 problem details, with a stable code, the fields at fault, and how to fix it."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="Identifies the problem; the part after the last slash is the code.")
    title: str
    status: int
    detail: str = Field(description="What happened and what was expected.")
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="Stable name of the error, documented in docs/errors.md.")
    errors: tuple[FieldError, ...] = ()
    suggestions: tuple[str, ...] = Field(default=(), description="How to fix it.")
    request_id: str


def problem_response(request: Request, error: SecateurError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error of the tree."""
    problem = Problem(
        type=f"/errors/{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=request.url.path,
        code=error.code,
        errors=error.errors,
        suggestions=error.suggestions,
        request_id=request.state.request_id,
    )
    extra = {"Retry-After": str(RETRY_SECONDS[error.status])} if error.status in RETRY_SECONDS else {}
    return Response(
        problem.model_dump_json(), status_code=error.status, media_type=MEDIA_TYPE, headers={**extra, **(headers or {})}
    )


def responses(*errors: type[SecateurError]) -> dict[int | str, dict[str, Any]]:
    """What an endpoint declares in OpenAPI: these errors, grouped by status."""
    grouped: dict[int, list[str]] = {}
    for error in errors:
        grouped.setdefault(error.status, []).append(f"`{error.code}`: {error.title}.")
    return {status: {"model": Problem, "description": " ".join(texts)} for status, texts in sorted(grouped.items())}


def install(app: FastAPI) -> None:
    """Make the application answer every error with a problem."""

    @app.exception_handler(SecateurError)
    async def _ours(request: Request, error: SecateurError) -> Response:
        return problem_response(request, error, getattr(error, "headers", None))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, invalid(error.errors(), error.body, Asked.of(request)))

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, SecateurError):  # ours, met while the framework read the body
            return problem_response(request, error.__cause__)
        kinds: dict[int, type[SecateurError]] = {404: NotFound, 405: MethodNotAllowed}
        other: type[SecateurError] = InvalidRequest if error.status_code < 500 else InternalError
        kind = kinds.get(error.status_code, other)
        details = {
            404: f"There is nothing at {request.url.path}.",
            405: f"{request.url.path} does not answer to {request.method}.",
        }
        detail = details.get(error.status_code, str(error.detail))
        allowed = _allowed(request) if error.status_code == 405 else {}
        suggestions = [f"It answers to {allowed['Allow']}."] if allowed else []
        if error.status_code == 404:
            close = await run_in_threadpool(hints.address, request.url.path, request.app.openapi()["paths"])
            suggestions = [*([close] if close else []), "GET / tells where everything is, and /docs describes it."]
        return problem_response(request, kind(detail, suggestions=suggestions), allowed or error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        logger("gateway").error("unexpected error", request_id=request.state.request_id, exc_info=error)
        hint = f"Tell the operator the request id {request.state.request_id}; the log has the details."
        # Starlette answers this one outside of all middleware, so that the id is not yet in the headers
        headers = {"X-Request-Id": request.state.request_id}
        fault = InternalError("The gateway met an unexpected error.", suggestions=[hint])
        return problem_response(request, fault, headers)


def _allowed(request: Request) -> dict[str, str]:
    """What an address does answer to; the router by itself names only the methods of the first route that it met."""
    found: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), request.url.path):
            found |= {method.upper() for method in operations}
    return {"Allow": ", ".join(sorted(found))} if found else {}


@dataclass(frozen=True)
class Asked:
    """Which operation was asked, such as ``PUT /v1/limits/{owner}``, and the fields of its body."""

    operation: str = ""
    fields: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """As the API describes itself."""
        path, schema = getattr(request.scope.get("route"), "path", request.url.path), request.app.openapi()
        described = schema["paths"].get(path, {}).get(request.method.lower(), {})
        content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        fields = schema["components"]["schemas"].get(name, {}).get("properties", ())
        return cls(f"{request.method} {path}", frozenset(fields))


def invalid(errors: Sequence[Any], body: Any, asked: Asked) -> RequestError:
    """Pydantic's findings as one error with a path and messages for each field."""
    for error in errors:
        if (swapped := _wrong_kind(error)) is not None:
            return swapped
    errors, left_out = errors[:MAX_NAMED], max(0, len(errors) - MAX_NAMED)
    known = field_names(_kind(body)) if asked.operation == NEW_JOB else asked.fields
    found: dict[str, list[str]] = {}
    suggestions: list[str] = []
    for error in errors:
        if any(_lies_in(other, error) or _follows_from(other, error) for other in errors):
            continue  # such as "too short" of a list whose only item is wrong
        path, message = _path(error["loc"], body), _text(hints.message(error))
        if error["type"] == "union_tag_invalid" and not path:
            path, message = ["kind"], f"there are {', '.join(SPECS)}"
        if error["type"] == "json_invalid":  # its path is a position in the text
            path, message = [], f"{message} at character {path[-1]}: {error['ctx']['error']}"
        if not path:
            suggestions.append("Send a JSON object, with Content-Type: application/json.")
        found.setdefault(".".join(path) or "body", []).append(message)
        if path and len(suggestions) < MOST_HINTS and (advice := hints.hint(error, path[-1], known)) is not None:
            suggestions.append(_text(advice))
    fields = [FieldError(field=field, messages=tuple(messages)) for field, messages in found.items()]
    summary = "; ".join(f"{field.field}: {', '.join(field.messages)}" for field in fields)
    if left_out:
        summary += f"; and {left_out} more"
    if not suggestions:
        described = f"GET /v1/schemas/{_kind(body)} has the schema."
        suggestions = [described if asked.operation == NEW_JOB else f"/docs describes {asked.operation}."]
    return InvalidRequest(summary, errors=fields, suggestions=suggestions)


def _path(location: Sequence[str | int], body: Any) -> list[str]:
    """The path of a field as its caller wrote it; the framework puts "body" before it, and pydantic the kind of job."""
    inside = location[2:] if location[1:2] and location[1] in SPECS else location[1:]
    return [_text(part) for part in field_path(inside, body)]


def _lies_in(inner: Any, outer: Any) -> bool:
    size = len(outer["loc"])
    return len(inner["loc"]) > size and inner["loc"][:size] == outer["loc"]


def _follows_from(cause: Any, error: Any) -> bool:
    """Whether steps are missing since the preset that would give them is none."""
    return bool(error["type"] == "missing" and error["loc"][-1] == "steps" and cause["loc"][-1] == "preset")


def _wrong_kind(error: Any) -> WrongKind | None:
    """The error for an identifier that is well formed and names another kind of thing."""
    field, given = str(error["loc"][-1]), error["input"]
    wanted = {"model_id": "a model", "dataset_id": "a data set"}.get(field)
    if wanted is None or not isinstance(given, str) or kind_of(given) in (None, wanted):
        return None
    return WrongKind(
        f"{field}: {_text(given)} names {kind_of(given)}, not {wanted}.",
        errors=[FieldError(field=field, messages=(f"expected the id of {wanted}",))],
        suggestions=["Check whether model_id and dataset_id were swapped."],
    )


def _text(given: str) -> str:
    """What can be sent as UTF-8: JSON lets a client send halves of characters."""
    return given.encode("utf-8", "replace").decode()


def _kind(body: Any) -> str:
    kind = kind_of_spec(body)
    return kind if kind in SPECS else DEFAULT_KIND
