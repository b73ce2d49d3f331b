"""Where a service is, as people write it, and where its things are."""

from typing import Final
from urllib.parse import quote, urlsplit

from secateur.errors import InvalidRequest

EXAMPLE: Final = "http://127.0.0.1:8000"


def checked(url: str) -> str:
    """The address of a service, without a slash at its end.

    Raises:
        InvalidRequest: it is none, with what to write instead.

    >>> checked("http://pruning.example/")
    'http://pruning.example'
    """
    given = url.strip().rstrip("/")
    if not _is_address(given):
        likely = f"http://{given}" if "://" not in url and _is_address(f"http://{given}") else EXAMPLE
        raise InvalidRequest(
            f"{url!r} is no address of a service.", suggestions=[f"Say where it is like this: --url {likely}"]
        )
    if given.endswith("/v1"):
        raise InvalidRequest(
            f"{given} names more than where the service is.",
            suggestions=[f"Leave out what follows the host: --url {given.removesuffix('/v1')}"],
        )
    return given


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        return False


def of(kind: str, identifier: str) -> str:
    """The path of one thing, such as a job, of the list with the name ``kind``.

    Raises:
        InvalidRequest: there is no identifier.

    >>> of("jobs", "job_1")
    '/v1/jobs/job_1'
    """
    if not identifier.strip():
        raise InvalidRequest(f"An empty text names none of the {kind}.", suggestions=[f"GET /v1/{kind} lists them."])
    return f"/v1/{kind}/{quote(identifier, safe='')}"
