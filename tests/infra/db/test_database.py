"""Migrations, transactions, and faults as errors of our tree, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from infra.db.database import Database, now
from infra.db.tables import Job, Table, Upload, Worker
from infra.jobs import workers
from secateur.errors import InvalidRequest, Unavailable
from secateur.specs.reading import Reading


@pytest.fixture
def fresh(database_url: str) -> Iterator[Database]:
    """A database that a test may change the tables of."""
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


def test_the_migrations_make_what_the_models_say(fresh: Database) -> None:
    """Otherwise a new installation differs from one that was upgraded."""
    with fresh.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, Table.metadata) == []


def test_the_comparison_sees_a_missing_column(fresh: Database) -> None:
    """A check that cannot fail is a defect."""
    with fresh.engine.begin() as connection:
        connection.execute(text("ALTER TABLE workers DROP COLUMN queues"))

    with fresh.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata)


def test_migrating_twice_keeps_what_is_there(database: Database) -> None:
    """Every process of an installation may migrate when it starts."""
    with database.write() as session:
        workers.say_alive(session, "w1", queues="jobs", now=now())

    database.migrate()

    with database.read() as session:
        assert session.scalars(select(Worker.id)).all() == ["w1"]


def test_uploads_of_an_older_version_keep_their_checks_and_say_how_they_are_read(database_url: str) -> None:
    """Before 0003 an upload knew its scale alone; SQLite makes the table anew, which must not take its jobs along."""
    old = Database(database_url)
    old.migrate("0002")
    upload = {"kind": "dataset", "digest": "sha256:d", "num_bytes": 1, "name": "d.npz", "format": "npz", "at": now()}
    with old.engine.begin() as connection:
        for number, scale in enumerate(("none", "1/255")):
            connection.execute(
                text(
                    "INSERT INTO uploads (id, kind, digest, num_bytes, name, format, scale, state, created_at)"
                    " VALUES (:id, :kind, :digest, :num_bytes, :name, :format, :scale, 'ready', :at)"
                ),
                upload | {"id": f"dst_{number}", "scale": scale},
            )
            connection.execute(
                text(
                    "INSERT INTO jobs (id, kind, state, upload_id, spec, steps, attempt, created_at)"
                    " VALUES (:id, 'check_dataset', 'succeeded', :upload, '{}', '[]', 1, :at)"
                ),
                {"id": f"job_{number}", "upload": f"dst_{number}", "at": now()},
            )

    old.migrate()

    with old.read() as session:
        found = {row.id: (row.reading, row.reading_digest) for row in session.scalars(select(Upload))}
        checks = session.scalars(select(Job.upload_id).order_by(Job.id)).all()
    readings = (Reading(), Reading(scale="1/255"))
    assert found == {f"dst_{number}": (each.declared(), each.digest()) for number, each in enumerate(readings)}
    assert checks == ["dst_0", "dst_1"]
    with old.write() as session:
        session.delete(session.get(Upload, "dst_0"))
    with old.read() as session:
        assert session.scalars(select(Job.id)).all() == ["job_1"], "rows that refer to it go with an upload again"
    old.close()


def test_processes_that_start_together_can_all_migrate(database_url: str) -> None:
    """A compose file starts gateway and workers at the same time."""
    databases = [Database(database_url) for _ in range(4)]
    barrier = threading.Barrier(len(databases))

    def migrate(database: Database) -> None:
        barrier.wait()
        database.migrate()

    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(migrate, databases))

    assert "jobs" in inspect(databases[0].engine).get_table_names()
    for database in databases:
        database.close()


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as session:
            workers.say_alive(session, "w1", queues="jobs", now=now())
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    with database.read() as session:
        assert session.scalars(select(Worker)).all() == []


def test_times_come_back_as_they_went_in(database: Database) -> None:
    """SQLite forgets time zones, PostgreSQL has one of its own; leases, cursors and HTTP's dates depend on them."""
    at = now()
    with database.write() as session:
        workers.say_alive(session, "w1", queues="jobs", now=at)

    with database.read() as session:
        seen_at = session.scalars(select(Worker.seen_at)).one()
    assert (seen_at, seen_at.tzinfo) == (at, UTC)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """A list must not stand still while an upload is written."""
    with database.write() as session:
        workers.say_alive(session, "w1", queues="jobs", now=now())
        session.flush()

        with database.read() as other:
            assert other.scalars(select(Worker)).all() == []


def test_a_value_that_cannot_be_stored_is_the_requests_fault(database: Database) -> None:
    """PostgreSQL has no null character; SQLite has. Neither may turn it into a fault of the service."""
    try:
        with database.read() as session:
            found = session.get(Worker, "nobody\0")
    except InvalidRequest:
        assert database.engine.dialect.name == "postgresql"
    else:
        assert found is None
        assert database.engine.dialect.name == "sqlite"


def test_a_database_without_tables_is_not_ready(database_url: str) -> None:
    """The gateway may be up before anybody has migrated; readiness says what to do, and is no error 500."""
    database = Database(database_url)

    with pytest.raises(Unavailable, match="lacks our tables"):
        database.ping()

    database.migrate()
    database.ping()
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("sqlite:///{folder}/missing/test.db", id="sqlite folder is gone"),
        pytest.param("postgresql://postgres@/nothing?host={folder}", id="postgresql is not there"),
    ],
)
def test_a_database_that_is_away_is_unavailable(url: str, tmp_path: Path) -> None:
    database = Database(url.format(folder=tmp_path))

    with pytest.raises(Unavailable):
        database.ping()


def test_workers_are_alive_for_a_while_after_they_said_so(database: Database) -> None:
    from datetime import timedelta

    at = now()
    with database.write() as session:
        workers.say_alive(session, "silent", queues="jobs", now=at - timedelta(seconds=31))
        workers.say_alive(session, "here", queues="checks,jobs", now=at - timedelta(seconds=90))
        workers.say_alive(session, "here", queues="checks,jobs", now=at)
        workers.say_alive(session, "gone", queues="jobs", now=at)
        workers.say_goodbye(session, "gone")

    with database.read() as session:
        assert [worker.id for worker in workers.alive(session, within_seconds=30, now=at)] == ["here"]
