"""Migrations, transactions, and faults as errors of our tree, on both databases."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from infra.db import schema
from infra.db.database import MIGRATIONS, Database, now
from infra.db.schema import WrongSchema
from infra.db.tables import Job, OwnerLimits, Table, Upload, Worker
from infra.jobs import workers
from infra.uploads import uploads
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
    """Queries are written against the models, and run against the tables that the migrations made."""
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
        workers.record_heartbeat(session, "w1", queues="jobs", now=now())

    database.migrate()

    with database.read() as session:
        assert session.scalars(select(Worker.id)).all() == ["w1"]


REBUILD = """
from alembic import op

revision = "rebuild"
down_revision = "0016"


def upgrade():
    with op.batch_alter_table("uploads") as table:
        table.drop_constraint("uq_uploads_owner_kind_digest_reading_digest", type_="unique")
"""


def test_a_migration_that_rebuilds_a_table_keeps_the_rows_that_refer_to_it(
    fresh: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SQLite changes a constraint by copying the table. Dropping the old one must not delete the checks of uploads."""
    with fresh.write() as session:
        register = partial(uploads.register, num_bytes=1, name="m.keras", format="keras", reading=Reading(), now=now())
        made = [register(session, "model", digest=digest) for digest in ("sha256:a", "sha256:b")]
        checks = sorted(check.id for _, check in made if check is not None)
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (folder / "versions" / "rebuild.py").write_text(REBUILD)
    monkeypatch.setattr("infra.db.database.MIGRATIONS", folder)

    fresh.migrate()

    assert not inspect(fresh.engine).get_unique_constraints("uploads")
    with fresh.read() as session:
        assert session.scalars(select(Job.id).order_by(Job.id)).all() == checks
    with fresh.write() as session:
        session.delete(session.get(Upload, made[0][0].id))
    with fresh.read() as session:
        assert len(session.scalars(select(Job.id)).all()) == 1, "a deleted upload takes its check with it again"


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
            workers.record_heartbeat(session, "w1", queues="jobs", now=now())
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
        workers.record_heartbeat(session, "w1", queues="jobs", now=at)

    with database.read() as session:
        seen_at = session.scalars(select(Worker.seen_at)).one()
    assert (seen_at, seen_at.tzinfo) == (at, UTC)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """A list must not stand still while an upload is written."""
    with database.write() as session:
        workers.record_heartbeat(session, "w1", queues="jobs", now=now())
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


def test_the_versions_in_the_code_are_those_of_the_migrations() -> None:
    """Processes that only serve know the version without Alembic, which takes long to import."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert tuple(reversed(revisions)) == schema.VERSIONS


@pytest.mark.parametrize(
    ("version", "says", "can_migrate"),
    [
        pytest.param("0015", "at version 0015.*run `python -m infra migrate`", True, id="older"),
        pytest.param("9999", "A newer version of this program wrote the database", False, id="newer"),
        pytest.param("f00d", "A newer version of this program wrote the database", False, id="unknown"),
        pytest.param("0007", "from before the first release", False, id="before the first release"),
    ],
)
def test_a_database_of_another_version_is_named(fresh: Database, version: str, says: str, can_migrate: bool) -> None:
    """Instead of errors of SQL at the first query that names a new column. Nothing is changed in a newer one."""
    with fresh.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        if can_migrate:
            connection.execute(text("ALTER TABLE owner_limits DROP COLUMN queued_checks"))

    with pytest.raises(WrongSchema, match=says):
        fresh.ping()
    if can_migrate:
        fresh.migrate()
        fresh.ping()
    else:
        with pytest.raises(WrongSchema, match=says):
            fresh.migrate()


def test_a_query_of_a_column_that_is_missing_is_no_internal_error(fresh: Database) -> None:
    """While a new gateway waits for the migration, its requests are answered 503."""
    with fresh.engine.begin() as connection:
        connection.execute(text("ALTER TABLE owner_limits DROP COLUMN queued_checks"))

    with pytest.raises(WrongSchema, match="another version"), fresh.read() as session:
        session.get(OwnerLimits, "ann")


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
        workers.record_heartbeat(session, "silent", queues="jobs", now=at - timedelta(seconds=31))
        workers.record_heartbeat(session, "here", queues="checks,jobs", now=at - timedelta(seconds=90))
        workers.record_heartbeat(session, "here", queues="checks,jobs", now=at)
        workers.record_heartbeat(session, "gone", queues="jobs", now=at)
        workers.remove_heartbeat(session, "gone")

    with database.read() as session:
        assert [worker.id for worker in workers.alive(session, within_seconds=30, now=at)] == ["here"]
