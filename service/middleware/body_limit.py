"""A bound on bodies that are read into memory: all but uploads, which stream and have a bound of their own."""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secateur.errors import BodyTooLarge
from service.http.problems import problem_response

UPLOADS = frozenset({("POST", "/v1/models"), ("POST", "/v1/datasets")})
PIECES = "/v1/uploads/"


def streams(method: str, path: str) -> bool:
    """Whether a body goes to the disk as it comes.

    >>> streams("POST", "/v1/models"), streams("PATCH", "/v1/models/mdl_0"), streams("PATCH", "/v1/uploads/upl_0")
    (True, False, True)
    """
    return (method, path) in UPLOADS or (method == "PATCH" and path.startswith(PIECES))


class BodyLimit:
    """Answers 413 before a body is read when its length is told, else as soon as too much has come."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or streams(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        told = Request(scope).headers.get("content-length", "0")
        if told.isdecimal() and int(told) > self._max_bytes:
            await problem_response(Request(scope), self._refusal())(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._refusal()
            return message

        await self._app(scope, bounded, send)

    def _refusal(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"The body is larger than the {self._max_bytes} bytes that requests other than uploads may have.",
            suggestions=["Send less, or raise SECATEUR_MAX_BODY_BYTES."],
        )
