"""PostgreSQL, and how long it may take to answer: a server that hangs is one that is away.

Nobody else would tell. The kernel of a stopped server still acknowledges what it is sent, and a network that swallows
packets tells nothing at all. So each wait has an end here, at the client; the server is told to give up a little
earlier, and to let go of what a client holds that is gone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

CONNECT_SECONDS: Final = 5
LEAST_CONNECT_SECONDS: Final = 2
"""libpq takes no less."""

IDLE_SECONDS: Final = 300.0
"""How long a transaction may do nothing: longer than a bucket may take to make an upload a blob, with all its tries. A
host that is gone is noticed sooner, by ``KEEPALIVE``; this ends one that lives and hangs."""

LOCK_SECONDS: Final = 60.0
"""For a lock that somebody holds who makes an upload a blob: of that a bucket may say nothing for 40 seconds."""

SERVERS_SHARE: Final = 0.8
"""Of the time for an answer. What the server gives up by itself costs no connection."""

POOL: Final = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 20}

KEEPALIVE: Final = {"idle": 10, "interval": 5, "count": 3}
"""Seconds, seconds, times: a host that is gone is noticed within half a minute, by either side."""

RV = TypeVar("RV")


class Silent(psycopg.OperationalError):
    """The server did not answer in time. The connection is closed: an answer that still comes would be another's."""


class Patient(psycopg.Connection[Any]):
    """A connection that waits so long for each answer and no longer."""

    answer_seconds: float | None = None
    on_timeout: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the answer to one message.

        Raises:
            Silent: it did not come.
        """
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except errors._WaitTimeout as fault:
            self.close()
            self.on_timeout()
            raise Silent(f"no answer in {self.answer_seconds} seconds") from fault

    @classmethod
    def reach(cls, *arguments: Any, answer_seconds: float | None, on_timeout: Callable[[], None], **more: Any) -> Self:
        """Connect, within a few seconds."""
        try:
            made = cls.connect(*arguments, **more)
        except errors.ConnectionTimeout:
            on_timeout()
            raise
        made.answer_seconds, made.on_timeout = answer_seconds, on_timeout
        return made


@contextmanager
def waiting_for_locks(connection: Connection) -> Iterator[None]:
    """While the block runs, a statement may take as long as others may have a good reason to hold what it waits for."""
    raw: Any = connection.connection.driver_connection
    before, raw.answer_seconds = raw.answer_seconds, LOCK_SECONDS
    try:
        connection.execute(text(f"SET LOCAL statement_timeout = {round(LOCK_SECONDS * SERVERS_SHARE * 1000)}"))
        yield
        connection.execute(text("SET LOCAL statement_timeout = DEFAULT"))
    finally:
        raw.answer_seconds = before


def engine(url: str, *, answer_seconds: float | None, on_timeout: Callable[[], None]) -> Engine:
    """Connections to a server.

    Args:
        answer_seconds: for each answer, and for a connection of the pool; None: as long as it takes.
        on_timeout: told when an answer did not come in time.
    """
    drawn = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    made = create_engine(drawn, **POOL, pool_timeout=answer_seconds or 30.0)

    @event.listens_for(made, "do_connect")
    def _connect(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> Patient:
        given = bounds(answer_seconds) | parameters
        given["options"] = " ".join(filter(None, (options(answer_seconds), parameters.get("options"))))
        return Patient.reach(*arguments, answer_seconds=answer_seconds, on_timeout=on_timeout, **given)

    return made


def bounds(answer_seconds: float | None) -> dict[str, Any]:
    """What the client's side is told of a connection, unless the URL tells otherwise.

    >>> bounds(3.0)["connect_timeout"], bounds(3.0)["tcp_user_timeout"], bounds(None)["keepalives_count"]
    (3, 3000, 3)
    """
    most = CONNECT_SECONDS if answer_seconds is None else min(CONNECT_SECONDS, round(answer_seconds))
    kept = {f"keepalives_{name}": number for name, number in KEEPALIVE.items()}
    told = {"connect_timeout": max(LEAST_CONNECT_SECONDS, most), "keepalives": 1, **kept}
    return told if answer_seconds is None else told | {"tcp_user_timeout": round(answer_seconds * 1000)}


def options(answer_seconds: float | None) -> str:
    """What the server is told of a session.

    >>> options(10.0).partition(" -c tcp")[0]
    '-c statement_timeout=8000 -c idle_in_transaction_session_timeout=300000'
    """
    told = {f"tcp_keepalives_{name}": number for name, number in KEEPALIVE.items()}
    if answer_seconds is not None:
        limits = {
            "statement_timeout": round(answer_seconds * SERVERS_SHARE * 1000),
            "idle_in_transaction_session_timeout": round(IDLE_SECONDS * 1000),
        }
        told = limits | told
    return " ".join(f"-c {name}={number}" for name, number in told.items())
