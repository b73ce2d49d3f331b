"""A bound on bodies that are read into memory: all but uploads, which stream and have a bound of their own."""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobspec.errors import BodyTooLarge
from service.problems import problem_response

UPLOADS = ("/v1/models", "/v1/datasets", "/v1/uploads")


class BodyLimit:
    """Answers 413 before a body is read when its length is told, else as soon as too much has come."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UPLOADS):
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
