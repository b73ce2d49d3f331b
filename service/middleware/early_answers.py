"""An answer that comes before the request is read to its end, such as 413, without losing it or waiting forever.

A server that closes at once resets the connection, and the client may never see why; one that keeps it open reads
an endless upload endlessly. So: answer, drop what still comes for a moment, close (nginx calls this a lingering close).
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS = 3.0


class EarlyAnswers:
    """Ends connections whose request was answered before it was complete."""

    def __init__(self, app: ASGIApp, seconds: float = LINGER_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_complete = closes = False

        async def watch() -> Message:
            nonlocal is_complete
            message = await receive()
            is_complete = is_complete or not message.get("more_body", False)
            return message

        async def drain() -> None:
            while not is_complete:
                await watch()

        async def answer(message: Message) -> None:
            nonlocal closes
            if message["type"] == "http.response.start" and not is_complete:
                closes = True
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            if message["type"] == "http.response.body" and closes and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    await asyncio.wait_for(drain(), self._seconds)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, watch, answer)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
