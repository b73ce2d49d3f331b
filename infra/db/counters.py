"""Counts that many processes add to and that outlive what they count. Inside the caller's transaction.

Whoever adds, adds last in its transaction, and always in the same order: so nobody waits in a circle.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from infra.db.tables import Tally

Key = tuple[str, tuple[str, ...]]
"""A name, and the values of its labels in an order of its own."""

BUCKETS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
"""Upper ends, in seconds, of what waits and runs are counted into; longer ones are counted as endless."""
ENDLESS: Final = "+Inf"
_SEPARATOR: Final = "|"


def observed(name: str, labels: tuple[str, ...], seconds: float) -> dict[Key, float]:
    """What one observation adds to a histogram: to its bucket, and to its sum.

    >>> observed("wait", ("compress",), 2.0)
    {('wait_bucket', ('compress', '3.0')): 1.0, ('wait_sum', ('compress',)): 2.0}
    """
    place = bisect_left(BUCKETS, seconds)
    bucket = str(BUCKETS[place]) if place < len(BUCKETS) else ENDLESS
    return {(f"{name}_bucket", (*labels, bucket)): 1.0, (f"{name}_sum", labels): max(0.0, seconds)}


def merged(many: Iterable[Mapping[Key, float]]) -> dict[Key, float]:
    """Several counts as one.

    >>> together([{("a", ()): 1.0}, {("a", ()): 2.0, ("b", ()): 1.0}])
    {('a', ()): 3.0, ('b', ()): 1.0}
    """
    found: dict[Key, float] = {}
    for counts in many:
        for key, value in counts.items():
            found[key] = found.get(key, 0.0) + value
    return found


def add(session: Session, counts: Mapping[Key, float]) -> None:
    """Add to counts; those that are not there yet begin at zero."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    for (name, labels), value in sorted(counts.items()):
        row = insert(Tally).values(name=name, labels=_SEPARATOR.join(labels), value=value)
        grown = {"value": Tally.value + row.excluded.value}
        session.execute(row.on_conflict_do_update(index_elements=["name", "labels"], set_=grown))


def read(session: Session) -> dict[Key, float]:
    """All counts."""
    rows = session.execute(select(Tally.name, Tally.labels, Tally.value))
    return {(name, tuple(labels.split(_SEPARATOR))): value for name, labels, value in rows}
