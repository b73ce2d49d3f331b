"""Gateways with keys, and callers who have one."""

from collections.abc import Sequence

import httpx

from infra.accounts import api_keys
from infra.db.database import now
from secateur.protocol.keys import Scope
from tests.service.conftest import Running


def key(running: Running, owner: str, scopes: Sequence[Scope] = ("write",)) -> str:
    """Make a key as the command line does. Returns its text."""
    with running.parts.database.write() as session:
        return api_keys.create(session, name=f"of {owner}", owner=owner, scopes=scopes, now=now())[1]


def as_(running: Running, owner: str, scopes: Sequence[Scope] = ("write",)) -> httpx.Client:
    """A client with a new key of this owner."""
    headers = {"Authorization": f"Bearer {key(running, owner, scopes)}"}
    return httpx.Client(base_url=running.url, timeout=30, headers=headers)
