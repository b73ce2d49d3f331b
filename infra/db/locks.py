"""Locks by name, held until the transaction ends.

SQLite has one writer at a time anyway. On PostgreSQL these are advisory locks, for things that have no row to lock,
such as content that no row refers to yet. To avoid deadlocks, take locks in the order owners, rows, blobs.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from infra.db.postgres import waiting_for_locks


def hold(session: Session, kind: Literal["owner", "blob"], names: Iterable[str]) -> None:
    """Wait until no other transaction holds any of these locks, then hold them until the transaction ends.

    Another holder may be turning an upload into a blob, for which a bucket needs longer than a query may take. The time
    limit of the wait is longer accordingly.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    for lock in (number(kind, name) for name in sorted(set(names))):
        if not session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
            with waiting_for_locks(session.connection()):
                session.execute(select(func.pg_advisory_xact_lock(lock)))


def number(kind: str, name: str) -> int:
    """Return the number by which PostgreSQL identifies a lock: a signed integer of 64 bits.

    >>> number("owner", "local") != number("blob", "local")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8], "big", signed=True)
