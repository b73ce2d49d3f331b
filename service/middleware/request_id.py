"""One id for a request, through answers and logs; the caller's own when it is harmless."""

import re
import secrets

from starlette.types import Scope

_HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id_of(scope: Scope) -> str:
    """The caller's ``X-Request-Id``, or a fresh one."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode() if _HARMLESS.fullmatch(given) else f"req_{secrets.token_hex(8)}"
