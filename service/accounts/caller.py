"""Who asks: the owner whose things a request works on, and what its key allows."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from infra.db.tables import ApiKey
from secateur.protocol.keys import LOCAL_OWNER, SCOPES, Scope, granted


@dataclass(frozen=True)
class Caller:
    """A caller whose key was looked at."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    """None: the service has no keys, and whoever is on its machine is its admin."""

    @classmethod
    def of(cls, key: ApiKey) -> "Caller":
        """Who a key stands for."""
        return cls(key.owner, granted(frozenset(cast(list[Scope], key.scopes.split(",")))), key.id)

    @property
    def only(self) -> str | None:
        """The owner whose things alone it sees; None for an admin, who sees all."""
        return None if "admin" in self.scopes else self.owner

    def sees(self, owner: str) -> bool:
        """Whether things of that owner exist for it."""
        return self.only in (None, owner)


LOCAL = Caller(LOCAL_OWNER, frozenset(SCOPES))
MONITOR = Caller("monitor", frozenset({"metrics"}))
"""Whoever has the token of the settings; it owns nothing."""


def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


def _maybe_caller(request: Request) -> Caller | None:
    return cast(Caller | None, request.state.caller)


UseCaller = Annotated[Caller, Depends(_caller)]
MaybeCaller = Annotated[Caller | None, Depends(_maybe_caller)]
"""None: a stranger, where strangers are let in."""
