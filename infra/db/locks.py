"""Taking turns inside a transaction, by name, until it ends.

SQLite's writers take turns anyway. PostgreSQL has advisory locks for what no row stands for, such as content that no
row refers to yet. Take them in the order owners, rows, blobs: whoever keeps to it never waits in a circle.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from infra.db.postgres import waiting_for_locks


def hold(session: Session, kind: Literal["owner", "blob"], names: Iterable[str]) -> None:
    """Wait until nobody else holds any of these, then hold them until the transaction ends.

    Whoever holds one may be making an upload a blob, which takes a bucket longer than the database for an answer.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    for lock in (number(kind, name) for name in sorted(set(names))):
        if not session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
            with waiting_for_locks(session.connection()):
                session.execute(select(func.pg_advisory_xact_lock(lock)))


def number(kind: str, name: str) -> int:
    """What PostgreSQL knows a lock by: 64 bits, with a sign.

    >>> number("owner", "local") != number("blob", "local")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8], "big", signed=True)
