"""What the API answers about owners: their keys, and what they use."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import Field

from infra.accounts.owner_limits import EffectiveLimits
from infra.db.tables import ApiKey
from secateur.frozen import Frozen
from secateur.protocol.keys import Scope


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


class OwnLimits(Frozen):
    """What an owner may use where that is not what the settings say. null: it is. 0: as much as it likes."""

    stored_bytes: int | None = Field(default=None, ge=0, le=2**53)
    queued_jobs: int | None = Field(default=None, ge=0, le=2**31 - 1)
    running_jobs: int | None = Field(default=None, ge=0, le=2**31 - 1, description="At once.")
    queued_checks: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="Uploads that wait for their check."
    )
    requests_per_minute: int | None = Field(default=None, ge=0, le=2**31 - 1)
    max_upload_bytes: int | None = Field(default=None, ge=1, le=2**53, description="Of one upload.")


class LimitsView(Frozen):
    """What an owner may use."""

    owner: str
    own: OwnLimits = Field(description="What was set for this owner.")
    in_force: OwnLimits = Field(description="That, and the settings where nothing was set. 0: as much as it likes.")


class LimitsPage(Frozen):
    """Some owners with limits of their own, by name."""

    data: tuple[LimitsView, ...]
    next_cursor: str | None


class UsageView(Frozen):
    """What an owner uses and may use."""

    owner: str
    stored_bytes: Amount = Field(description="Uploads that were not rejected, and files that jobs left.")
    queued_jobs: Amount
    running_jobs: Amount
    queued_checks: Amount = Field(description="Uploads that wait for their check.")
    max_upload_bytes: int
    requests_per_minute: int | None = Field(
        description="null: any number. `RateLimit` of every answer tells what is left."
    )


def limits_view(owner: str, own: Mapping[str, int], usual: EffectiveLimits) -> LimitsView:
    """What was set for an owner, beside what holds for it."""
    return LimitsView(owner=owner, own=OwnLimits(**own), in_force=OwnLimits(**asdict(usual) | dict(own)))


def key_view(key: ApiKey) -> KeyView:
    """A row as a key."""
    return KeyView.model_validate(_key_fields(key))


def new_key_view(key: ApiKey, text: str) -> NewKey:
    """A row and its text, for the one answer that has it."""
    return NewKey.model_validate(_key_fields(key) | {"key": text})


def _key_fields(key: ApiKey) -> dict[str, Any]:
    names = ("id", "prefix", "name", "owner", "created_at", "expires_at", "last_used_at", "revoked_at", "former_until")
    return {name: getattr(key, name) for name in names} | {"scopes": tuple(key.scopes.split(","))}
