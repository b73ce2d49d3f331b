"""Who may do what: the scopes of API keys, and the owners whose things they work on."""

from typing import Annotated, Final, Literal

from pydantic import StringConstraints

Scope = Literal["read", "write", "metrics", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "metrics", "admin")

KeyState = Literal["valid", "expired", "revoked"]

LOCAL_OWNER: Final = "local"
"""Whose everything is as long as a service has no keys."""

OWNER_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"
OWNER_WORDS: Final = "small letters, digits, dots, dashes and underscores, at most 63, a letter or a digit first"
Owner = Annotated[str, StringConstraints(pattern=OWNER_PATTERN)]

_IMPLIED: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "metrics": frozenset({"metrics"}),
    "admin": frozenset(SCOPES),
}


def granted(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """All that these scopes allow: who may write may read, an admin may do everything.

    ``metrics`` is for a monitor, which sees totals and nothing else.

    >>> sorted(granted(frozenset({"write"})))
    ['read', 'write']
    """
    return frozenset[Scope]().union(*(_IMPLIED[scope] for scope in scopes))
