"""Counters in the database that many processes add to. They outlive the jobs that they count.

Functions work inside the caller's transaction. Add to counters at the end of a transaction: ``add`` locks their rows in
the order of their names, so two transactions cannot deadlock.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from infra.db.tables import Tally

Key = tuple[str, tuple[str, ...]]
"""The name of a counter, and the values of its labels in an order that the name defines."""

BUCKETS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
"""Upper bounds of the histogram buckets, in seconds. Longer durations fall into ``ENDLESS``."""
ENDLESS: Final = "+Inf"
_SEPARATOR: Final = "|"


def observed(name: str, labels: tuple[str, ...], seconds: float) -> dict[Key, float]:
    """Return what one duration adds to a histogram: 1 to its bucket, and its seconds to the sum.

    >>> observed("wait", ("compress",), 2.0)
    {('wait_bucket', ('compress', '3.0')): 1.0, ('wait_sum', ('compress',)): 2.0}
    """
    place = bisect_left(BUCKETS, seconds)
    bucket = str(BUCKETS[place]) if place < len(BUCKETS) else ENDLESS
    return {(f"{name}_bucket", (*labels, bucket)): 1.0, (f"{name}_sum", labels): max(0.0, seconds)}


def merged(many: Iterable[Mapping[Key, float]]) -> dict[Key, float]:
    """Return the sum of several sets of counts.

    >>> merged([{("a", ()): 1.0}, {("a", ()): 2.0, ("b", ()): 1.0}])
    {('a', ()): 3.0, ('b', ()): 1.0}
    """
    found: dict[Key, float] = {}
    for counts in many:
        for key, value in counts.items():
            found[key] = found.get(key, 0.0) + value
    return found


def add(session: Session, counts: Mapping[Key, float]) -> None:
    """Add to counters. A counter that does not exist yet starts at zero."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    for (name, labels), value in sorted(counts.items()):
        row = insert(Tally).values(name=name, labels=_SEPARATOR.join(labels), value=value)
        grown = {"value": Tally.value + row.excluded.value}
        session.execute(row.on_conflict_do_update(index_elements=["name", "labels"], set_=grown))


def read(session: Session) -> dict[Key, float]:
    """Return all counters."""
    rows = session.execute(select(Tally.name, Tally.labels, Tally.value))
    return {(name, tuple(labels.split(_SEPARATOR))): value for name, labels, value in rows}
