"""Counts: none is lost when many add at once."""

from concurrent.futures import ThreadPoolExecutor

from infra.db import counters
from infra.db.counters import Key
from infra.db.database import Database


def add(database: Database, counts: dict[Key, float]) -> None:
    with database.write() as session:
        counters.add(session, counts)


def test_counts_of_many_who_add_at_once_are_all_there(database: Database) -> None:
    """In whatever order each of them names its counts."""
    some: dict[Key, float] = {("attempts", ("compress", "failed")): 1.0, ("deaths", ("SIGKILL",)): 2.0}
    backwards = dict(reversed(some.items()))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(database, some if number % 2 else backwards), range(40)))

    with database.read() as session:
        assert counters.read(session) == {key: 40 * value for key, value in some.items()}


def test_an_observation_falls_into_the_first_bucket_that_holds_it(database: Database) -> None:
    for seconds in (0.0, 0.1, 0.11, 10_000.0, 10_001.0):
        add(database, counters.observed("wait", ("compress",), seconds))

    with database.read() as session:
        found = counters.read(session)
    buckets = {labels[1]: value for (name, labels), value in found.items() if name == "wait_bucket"}
    assert buckets == {"0.1": 2, "0.3": 1, "10000.0": 1, "+Inf": 1}
    assert found["wait_sum", ("compress",)] == 20_001.21
