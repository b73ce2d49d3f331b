"""Answers that tell of an error, as the exceptions of the error tree that the service raised."""

from typing import Any, Final

import httpx
from pydantic import TypeAdapter, ValidationError

from secateur.errors import (
    Failure,
    FieldError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    ScopeMissing,
    SecateurError,
    Unauthorized,
    Unavailable,
    UploadTooLarge,
    catalogue,
)

ELSEWHERE: Final = "Say where the service is with --url or SECATEUR_URL."
KEY: Final = "Give a key with --api-key or SECATEUR_API_KEY; an admin makes one with secateur keys create."
BY_STATUS: Final[dict[int, type[SecateurError]]] = {
    401: Unauthorized,
    403: ScopeMissing,
    404: NotFound,
    405: MethodNotAllowed,
    413: UploadTooLarge,
    429: RateLimited,
}
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
        return _wordless(response)
    if code == Unauthorized.code:
        suggestions = (KEY, *suggestions)
    return _error(code, detail, errors, suggestions, status=response.status_code)


def _wordless(response: httpx.Response) -> SecateurError:
    """The error in an answer without words of ours: that of a proxy, of another service, or to ``HEAD``."""
    detail, hints = f"{response.url.copy_with(query=None)} answered {response.status_code}.", [ELSEWHERE]
    if response.has_redirect_location:
        there = response.url.join(response.headers["location"]).copy_with(path="/", query=None, fragment=None)
        detail = f"{detail[:-1]}, which leads elsewhere."
        hints = [f"Is the service there? --url {str(there).rstrip('/')}", *hints]
    kind = BY_STATUS.get(response.status_code)
    return _error("" if kind is None else kind.code, detail, (), tuple(hints), status=response.status_code)


def from_transport(fault: httpx.TransportError, base_url: str) -> Unavailable:
    """The error of a service that does not answer at all."""
    hints = [f"Start the service (make up). {ELSEWHERE}"]
    if "SSL" in str(fault) and base_url.startswith("https://"):
        hints = [f"If the service speaks plain HTTP: --url http://{base_url.removeprefix('https://')}", *hints]
    return Unavailable(f"No answer from {base_url}: {str(fault) or type(fault).__name__}.", suggestions=hints)


def _error(
    code: str, detail: str, errors: tuple[FieldError, ...], suggestions: tuple[str, ...], *, status: int
) -> SecateurError:
    by_status = Unavailable if status in (502, 503, 504) else InternalError if status >= 500 else InvalidRequest
    return catalogue().get(code, by_status)(detail, errors=errors, suggestions=suggestions)
