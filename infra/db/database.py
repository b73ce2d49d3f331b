"""Connections to the database, SQLite and PostgreSQL alike, and its migrations."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from infra.circuit_breaker import CircuitBreaker
from secateur.disk_full import lacks_room
from secateur.errors import InvalidRequest, StorageFull, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
ANSWER_SECONDS = 10.0
LOCK_SECONDS = 10.0
MIGRATION_LOCK = 0x5EC47E
"""Any number that no other program uses on the same PostgreSQL."""


def now() -> datetime:
    """The time that rows carry."""
    return datetime.now(UTC)


class Database:
    """Opens transactions. On SQLite one that writes takes the lock at once: upgrading later could deadlock."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """A database that counts as away when it takes longer to answer; SQLite answers, or is locked."""
        self.url = url
        self._breaker = CircuitBreaker("The database does not answer.")
        self.engine = _engine(url, answer_seconds, self._breaker)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Raises:
            Unavailable: the database does not answer, or is locked for too long.
            StorageFull: the disk under the database is full.
            InvalidRequest: a value cannot be stored.
        """
        with self._asked(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; on SQLite it waits for no writer."""
        engine = self.engine.execution_options(read_only=True)
        with self._asked(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with _translated():
            self._breaker.check(self._ask)
            yield

    def _ask(self) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def ping(self) -> None:
        """Raise ``Unavailable`` unless the database answers and has its tables."""
        with self.read() as session:
            session.execute(text("SELECT 1 FROM jobs LIMIT 1"))

    def migrate(self) -> None:
        """Bring the tables to the newest version, without a time limit.

        Any number of processes may call it, also at the same time: the first one migrates, the others change nothing.
        """
        url = make_url(self.url)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        from alembic import command  # only here: processes that only serve start sooner and smaller without it
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with (
            _translated(),
            _disposed(_engine(self.url, None, self._breaker)) as engine,
            engine.connect() as connection,
            _rebuildable(connection),
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":  # SQLite's write lock does the same
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    """Its connections are closed when the block ends."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _rebuildable(connection: Connection) -> Iterator[None]:
    """SQLite changes a constraint by making the table anew; dropping the old one must not take along what refers to it.

    That can only be switched before a transaction begins (sqlite.org/lang_altertable.html, "Making Other Kinds Of
    Table Schema Changes").
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
        from infra.db import postgres  # only here: who keeps rows in a file needs no driver

        return postgres.engine(url, answer_seconds=answer_seconds, on_timeout=breaker.open)
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS}, pool_size=10, max_overflow=30)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: Any) -> None:
    """Switch a SQLite file to its write-ahead log. Of several who do it at once SQLite lets only one wait."""
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
def _translated() -> Iterator[None]:
    """Faults of the database as errors of our tree: the user's only when a value cannot be stored at all."""
    try:
        yield
    except PoolTimeout as fault:
        raise Unavailable("All database connections are busy.", suggestions=["Try again in a moment."]) from fault
    except DataError as fault:  # such as a null character, which PostgreSQL has no room for
        raise InvalidRequest("A value holds characters that cannot be stored.") from fault
    except DBAPIError as fault:
        reason = str(fault.orig)
        if lacks_room(fault):
            raise StorageFull("The disk of the database is full.") from fault
        if "no such table" in reason or "UndefinedTable" in type(fault.orig).__name__:
            hint = "Run python -m infra migrate."
            raise Unavailable("The database lacks our tables.", suggestions=[hint]) from fault
        if type(fault.orig).__name__ == "QueryCanceled":  # by its time-out, which counts waiting for locks too
            raise Unavailable("The database is busy.", suggestions=["Try again in a moment."]) from fault
        if fault.connection_invalidated or type(fault).__name__ in ("OperationalError", "InterfaceError"):
            raise Unavailable("The database does not answer.", suggestions=["Try again in a moment."]) from fault
        raise
