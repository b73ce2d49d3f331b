"""Totals over all owners, as a monitor sees them."""

from infra.db.database import Database
from infra.jobs import totals, workers
from infra.storage.store import Store
from tests.infra.library import Library
from tests.infra.rows import at


def test_totals_count_all_that_there_is(database: Database, store: Store) -> None:
    library = Library(database, store)
    library.upload("same", "ann")
    library.upload("same", "bob")
    library.upload("other", "bob")
    library.leave(library.running(), "same", "files")
    library.running()
    with database.write() as session:
        workers.record_heartbeat(session, "w1", queues="jobs", sandbox="landlock+seccomp", now=at(60))
        workers.record_heartbeat(session, "w2", queues="jobs,checks", sandbox="off", now=at(60))
        workers.record_heartbeat(session, "gone", queues="jobs", sandbox="off", now=at(0))

    with database.read() as session:
        found = totals.read(session, workers_within_seconds=30, now=at(60))

    assert found.jobs == {("compress", "succeeded"): 1, ("compress", "running"): 1, ("check_model", "queued"): 3}
    assert (found.queued, found.oldest_queued_seconds) == ({"checks": 3, "jobs": 0}, {"checks": 60.0, "jobs": 0.0})
    assert found.uploads == {("model", "checking"): 3}
    assert found.upload_bytes == {"model": 4 + 4 + 5}
    assert found.stored_bytes == len("same") + len("other") + len("files")
    assert found.workers == {"checks": 1, "jobs": 2}
    assert found.sandboxes == {"landlock+seccomp": 1, "off": 1}
