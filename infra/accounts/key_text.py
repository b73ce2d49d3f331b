"""The text of an API key: ``sk_<prefix>_<secret><checksum>``, in hexadecimal digits.

The prefix identifies the row and may be shown. The secret has 256 random bits, so a plain SHA-256 of the text is safe
to store. The checksum recognises a truncated or mistyped key without a query to the database.
"""

import hashlib
import re
import secrets
import zlib

PREFIX_BYTES, SECRET_BYTES = 6, 32
_FORM = re.compile(r"(sk_([0-9a-f]{12})_[0-9a-f]{64})([0-9a-f]{8})")


def new_prefix() -> str:
    """Return the public part of a new key."""
    return secrets.token_hex(PREFIX_BYTES)


def mint(prefix: str) -> str:
    """Return the text of a new key with this prefix."""
    body = f"sk_{prefix}_{secrets.token_hex(SECRET_BYTES)}"
    return body + _checksum(body)


def prefix_of(text: str) -> str | None:
    """Return the prefix of a key; None if the text is not a key of this service, or a damaged one.

    >>> key = mint("0123456789ab")
    >>> prefix_of(key), prefix_of(key[:-1] + "x"), prefix_of("letmein")
    ('0123456789ab', None, None)
    """
    found = _FORM.fullmatch(text)
    return found[2] if found and _checksum(found[1]) == found[3] else None


def digest_of(text: str) -> str:
    """Return the digest that is stored for a key.

    >>> digest_of("abc")
    'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
