"""The database's clock. Leases are written and judged by it, so that no host's clock has a say in who holds a job.

Every function takes ``now``: None for the database's time; tests bring a time of their own.
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
    """So many seconds from now, as an expression that the database works out where it stands in a statement."""
    return _Later(literal(seconds)) if now is None else literal(now + timedelta(seconds=seconds), UtcDateTime())


def read(session: Session, now: datetime | None = None) -> datetime:
    """What the clock shows."""
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
