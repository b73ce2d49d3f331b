"""Connections to the database, SQLite and PostgreSQL alike, and its migrations."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from infra import private_files
from infra.circuit_breaker import CircuitBreaker
from infra.db import schema
from secateur.disk_full import lacks_room
from secateur.errors import InvalidRequest, StorageFull, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
ANSWER_SECONDS = 10.0
LOCK_SECONDS = 10.0
MIGRATION_LOCK = 0x5EC47E
"""The number of the advisory lock. No other program on the same PostgreSQL may use it."""


def now() -> datetime:
    """Return the time of this host, for the columns of rows."""
    return datetime.now(UTC)


class Database:
    """Opens transactions. On SQLite a writing transaction locks at its beginning: upgrading later could deadlock."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Open no connection yet.

        Args:
            url: SQLAlchemy's URL of a SQLite file or a PostgreSQL database.
            answer_seconds: PostgreSQL counts as unavailable when it takes longer to answer. SQLite ignores it.
        """
        self.url = url
        self._breaker = CircuitBreaker("The database does not answer.")
        self.engine = _engine(url, answer_seconds, self._breaker)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Run the block in a transaction, which is committed at its end, or rolled back if it raises.

        Raises:
            Unavailable: the database does not answer, or is locked for too long.
            StorageFull: the disk under the database is full.
            InvalidRequest: a value cannot be stored.
        """
        with self._guarded(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Run the block in a read-only transaction. On SQLite it does not wait for writers."""
        engine = self.engine.execution_options(read_only=True)
        with self._guarded(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with _translate_errors():
            self._breaker.check(self._probe)
            yield

    def _probe(self) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def ping(self) -> None:
        """Raise ``Unavailable`` unless the database answers and has its tables.

        Raises:
            WrongSchema: the database answers, and its tables are not those that this program needs.
        """
        with self.read() as session:
            schema.check_version(session.connection())

    def migrate(self) -> None:
        """Bring the tables to the newest version, without a time limit.

        Any number of processes may call it, also at the same time: the first one migrates, the others change nothing.

        Raises:
            WrongSchema: a newer version of this program wrote the database.
            Unavailable: the database does not answer.
        """
        url = make_url(self.url)
        if url.get_backend_name() == "sqlite" and url.database:
            private_files.make_folder(Path(url.database).parent, private_files.data_folder_mode())
        from alembic import command  # only here: processes that only serve start sooner and smaller without it
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with (
            _translate_errors(),
            _disposed(_engine(self.url, None, self._breaker)) as engine,
            engine.connect() as connection,
            _rebuildable(connection),
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":  # SQLite's write lock does the same
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            schema.check_not_newer(schema.version(connection))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    """Close the connections of the engine when the block ends."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _rebuildable(connection: Connection) -> Iterator[None]:
    """Switch off foreign keys on SQLite while migrations run.

    SQLite changes a constraint by copying the table. Dropping the old table must not delete the rows that refer to it.
    Foreign keys can only be switched before a transaction begins (sqlite.org/lang_altertable.html, "Making Other Kinds
    Of Table Schema Changes").
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


def _engine(url: str, answer_seconds: float | None, breaker: CircuitBreaker) -> Engine:
    if make_url(url).get_backend_name() == "postgresql":
        from infra.db import postgres  # only here: a service on SQLite needs no driver

        return postgres.engine(url, answer_seconds=answer_seconds, on_timeout=breaker.open)
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS}, pool_size=10, max_overflow=30)

    @event.listens_for(engine, "do_connect")
    def _create(*_: Any) -> None:
        if engine.url.database not in (None, "", ":memory:"):
            private_files.make_sqlite_file(Path(str(engine.url.database)))

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # ``_begin`` starts transactions, not the driver
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: Any) -> None:
    """Switch a SQLite file to its write-ahead log. Retry while other processes switch it: SQLite lets only one wait."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate exceptions of the database to errors of ``secateur.errors``.

    Only a value that cannot be stored is the user's fault.
    """
    try:
        yield
    except PoolTimeout as fault:
        raise Unavailable("All database connections are busy.", suggestions=["Try again in a moment."]) from fault
    except DataError as fault:  # such as a null character, which PostgreSQL cannot store
        raise InvalidRequest("A value holds characters that cannot be stored.") from fault
    except DBAPIError as fault:
        reason = str(fault.orig)
        if lacks_room(fault):
            raise StorageFull("The disk of the database is full.") from fault
        if "no such table" in reason or type(fault.orig).__name__ == "UndefinedTable":
            raise schema.lacks_tables() from fault
        if re.search("no such column|has no column", reason) or type(fault.orig).__name__ == "UndefinedColumn":
            raise schema.lacks_columns() from fault
        if type(fault.orig).__name__ == "QueryCanceled":  # by the statement time-out, which includes waiting for locks
            raise Unavailable("The database is busy.", suggestions=["Try again in a moment."]) from fault
        if fault.connection_invalidated or type(fault).__name__ in ("OperationalError", "InterfaceError"):
            raise Unavailable("The database does not answer.", suggestions=["Try again in a moment."]) from fault
        raise
