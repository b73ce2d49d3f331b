"""The database's clock. Leases are written and compared by it, so the clocks of hosts do not decide who holds a job.

Every function takes ``now``: None means the time of the database. Tests pass a time of their own.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from infra.db.utc import UtcDateTime


def later(now: datetime | None, seconds: float = 0.0) -> ColumnElement[datetime]:
    """Return an SQL expression for the time ``seconds`` from now, which the database evaluates in the statement."""
    return _Later(literal(seconds)) if now is None else literal(now + timedelta(seconds=seconds), UtcDateTime())


def read(session: Session, now: datetime | None = None) -> datetime:
    """Return the time of the database."""
    return now or session.execute(select(_Later(literal(0.0)))).scalar_one()


class _Later(FunctionElement[datetime]):
    type = UtcDateTime()
    name = "later"
    inherit_cache = True


@compiles(_Later, "sqlite")
def _sqlite(element: _Later, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {seconds}))"  # as UtcDateTime writes it


@compiles(_Later, "postgresql")
def _postgresql(element: _Later, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => CAST({seconds} AS double precision)))"
