"""Identifiers: a three letter prefix that names the kind of thing, then 80 random bits."""

import secrets
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

Prefix = Literal["mdl", "dst", "job", "key", "upl", "whk", "msg"]
KINDS: Final[dict[str, str]] = {
    "mdl": "a model",
    "dst": "a data set",
    "job": "a job",
    "key": "an API key",
    "whk": "a webhook",
    "msg": "a delivery of a webhook",
    "upl": "a resumable upload",
}


def pattern(prefix: Prefix) -> str:
    """What identifiers of a kind look like, as a regular expression."""
    return f"^{prefix}_[0-9a-f]{{20}}$"


ModelId = Annotated[str, StringConstraints(pattern=pattern("mdl"))]
DatasetId = Annotated[str, StringConstraints(pattern=pattern("dst"))]
JobId = Annotated[str, StringConstraints(pattern=pattern("job"))]


def new_id(prefix: Prefix) -> str:
    """A fresh identifier such as ``job_3f9c0b6a1d2e4f5a6b7c``."""
    return f"{prefix}_{secrets.token_hex(10)}"


def kind_of(identifier: str) -> str | None:
    """What an identifier names, in words, or None when its prefix is not ours.

    >>> kind_of("dst_00")
    'a data set'
    """
    return KINDS.get(identifier.partition("_")[0])
