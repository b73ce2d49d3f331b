"""The body of a request as it arrives, for those who must not hold all of it in memory."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from secateur.errors import UploadIncomplete


async def raw_body(request: Request) -> AsyncIterator[bytes]:
    """The pieces of a body, none of them empty.

    Raises:
        UploadIncomplete: the connection ended before the body did.
    """
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as fault:
        raise UploadIncomplete("The connection ended before the upload did.") from fault
