"""Signatures of webhooks according to Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over id, time and
body."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Return a new secret of 24 random bytes, in the form that libraries of receivers accept."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def headers(message_id: str, timestamp: int, body: bytes, signed_with: Iterable[str]) -> dict[str, str]:
    """Return the three headers of a delivery.

    Args:
        message_id: the same for every try of one message.
        timestamp: of this try, in seconds since 1970.
        body: the exact body that is sent.
        signed_with: every valid secret. While one replaces another, receivers may know either.
    """
    signatures = (signature(secret, message_id, timestamp, body) for secret in signed_with)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signatures)}


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return a signature: ``v1,`` and the digest in base64.

    >>> signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...           b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
