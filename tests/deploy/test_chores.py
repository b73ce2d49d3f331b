"""``python -m infra``: what containers run beside the gateway and the workers."""

import socket
from pathlib import Path

import pytest
from sqlalchemy import text

from infra.__main__ import main
from infra.db.database import Database, now
from infra.jobs import workers
from infra.settings import Settings
from tests.backing import Backing


@pytest.fixture
def database(backing: Backing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A fresh database that the settings of this process point at."""
    for name, value in backing.settings(tmp_path / "data", migrated=False).environment().items():
        monkeypatch.setenv(name, value)
    database = Database(Settings().database)
    main(["migrate"])
    return database


def test_migrating_makes_the_tables_and_can_be_repeated(database: Database) -> None:
    """Every start of the containers runs it."""
    main([])

    database.ping()


def test_a_worker_of_this_host_that_was_seen_is_healthy(database: Database) -> None:
    """The row that it writes once a sweep is the proof that it still works."""
    with database.write() as session:
        workers.record_heartbeat(session, f"{socket.gethostname()}-7", queues="checks", now=now())

    main(["seen"])


def test_a_worker_of_another_host_does_not_count(database: Database) -> None:
    """Otherwise one living worker would hide all the dead ones."""
    with database.write() as session:
        workers.record_heartbeat(session, "elsewhere-7", queues="checks", now=now())

    with pytest.raises(SystemExit, match="no worker of"):
        main(["seen"])


def test_a_database_that_a_newer_version_wrote_is_left_alone(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SystemExit, match="A newer version of this program wrote the database"):
        main(["migrate"])
