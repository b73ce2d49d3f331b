"""What the API answers about owners: their keys, and what they use."""

from datetime import datetime
from typing import Any

from pydantic import Field

from infra.tables import ApiKey
from jobspec.frozen import Frozen
from jobspec.keys import Scope


class KeyView(Frozen):
    """An API key, without its secret."""

    id: str
    prefix: str = Field(description="Begins the key's text: sk_<prefix>_...")
    name: str
    owner: str = Field(description="Whose uploads and jobs it works on.")
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    former_until: datetime | None = Field(description="Until when the secret before the last rotation is valid.")


class NewKey(KeyView):
    """A key that was just made or rotated."""

    key: str = Field(description="The key's text. Keep it: it is shown this once.")


class KeyPage(Frozen):
    """Some keys, newest first."""

    data: tuple[KeyView, ...]
    next_cursor: str | None


class Amount(Frozen):
    """How much of something is used, and how much may be."""

    used: int
    limit: int | None = Field(description="null: as much as you like.")


class UsageView(Frozen):
    """What an owner uses and may use."""

    owner: str
    stored_bytes: Amount = Field(description="Uploads that were not rejected, and files that jobs left.")
    queued_jobs: Amount
    running_jobs: Amount
    max_upload_bytes: int
    requests_per_minute: int | None = Field(
        description="null: any number. `RateLimit` of every answer tells what is left."
    )


def key_view(key: ApiKey) -> KeyView:
    """A row as a key."""
    return KeyView.model_validate(_key_fields(key))


def new_key_view(key: ApiKey, text: str) -> NewKey:
    """A row and its text, for the one answer that has it."""
    return NewKey.model_validate(_key_fields(key) | {"key": text})


def _key_fields(key: ApiKey) -> dict[str, Any]:
    names = ("id", "prefix", "name", "owner", "created_at", "expires_at", "last_used_at", "revoked_at", "former_until")
    return {name: getattr(key, name) for name in names} | {"scopes": tuple(key.scopes.split(","))}
