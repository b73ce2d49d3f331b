"""Answers that tell of an error, as the exceptions of the error tree that the service raised."""

from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from jobspec.errors import (
    Failure,
    FieldError,
    InternalError,
    InvalidRequest,
    SecateurError,
    Unavailable,
    catalogue,
)

_FIELDS = TypeAdapter(tuple[FieldError, ...])


def from_failure(failure: Failure) -> SecateurError:
    """The error that a job or a check ended with."""
    return _error(failure.code, failure.detail, failure.errors, failure.suggestions, status=500)


def from_response(response: httpx.Response) -> SecateurError:
    """The error in an answer; one that is no problem document (a proxy's, say) is told by its status."""
    try:
        problem: Any = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        errors = _FIELDS.validate_python(problem.get("errors", ()))
        suggestions = tuple(map(str, problem.get("suggestions", ())))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return _error("", f"{response.url} answered {response.status_code}.", (), (), status=response.status_code)
    return _error(code, detail, errors, suggestions, status=response.status_code)


def from_transport(fault: httpx.TransportError, base_url: str) -> Unavailable:
    """The error of a service that does not answer at all."""
    return Unavailable(
        f"No answer from {base_url}: {str(fault) or type(fault).__name__}.",
        suggestions=["Start the service (make up), or say where it is with --url or SECATEUR_URL."],
    )


def _error(
    code: str, detail: str, errors: tuple[FieldError, ...], suggestions: tuple[str, ...], *, status: int
) -> SecateurError:
    by_status = Unavailable if status in (502, 503, 504) else InternalError if status >= 500 else InvalidRequest
    return catalogue().get(code, by_status)(detail, errors=errors, suggestions=suggestions)
