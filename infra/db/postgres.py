"""PostgreSQL with a time limit for every answer: a server that hangs is treated as unavailable.

The operating system does not report such a server. The kernel of a stopped server still acknowledges packets, and a
network that drops packets reports nothing. So the client limits every wait. The server is configured to give up a
little earlier, and to release the locks of clients that have gone.
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
"""libpq accepts no shorter time-out."""

IDLE_SECONDS: Final = 300.0
"""How long a transaction may be idle. It is longer than a bucket may take to turn an upload into a blob, with all
retries. ``KEEPALIVE`` notices a lost host sooner; this limit ends the transactions of clients that hang."""

LOCK_SECONDS: Final = 60.0
"""How long to wait for a lock. Its holder may be turning an upload into a blob, which takes a bucket up to 40
seconds."""

SERVERS_SHARE: Final = 0.8
"""The share of the client's time limit that the server gets. A statement that the server ends costs no connection."""

POOL: Final = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 20}

KEEPALIVE: Final = {"idle": 10, "interval": 5, "count": 3}
"""In seconds, seconds and probes: either side notices within half a minute that the other host is gone."""

RV = TypeVar("RV")


class AnswerTimeout(psycopg.OperationalError):
    """The server did not answer in time.

    The connection is closed, because a late answer would belong to another query.
    """


class TimedConnection(psycopg.Connection[Any]):
    """A connection with a time limit for each answer."""

    answer_seconds: float | None = None
    on_timeout: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the answer to one message.

        Raises:
            AnswerTimeout: the answer did not come within ``answer_seconds``.
        """
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except errors._WaitTimeout as fault:
            self.close()
            self.on_timeout()
            raise AnswerTimeout(f"no answer in {self.answer_seconds} seconds") from fault

    @classmethod
    def connect_timed(
        cls, *arguments: Any, answer_seconds: float | None, on_timeout: Callable[[], None], **more: Any
    ) -> Self:
        """Connect within ``connect_timeout``.

        Args:
            arguments: as ``psycopg.connect`` takes them.
            answer_seconds: the time limit for each answer; None: no limit.
            on_timeout: called when the server does not answer in time.
            more: connection parameters.
        """
        try:
            made = cls.connect(*arguments, **more)
        except errors.ConnectionTimeout:
            on_timeout()
            raise
        made.answer_seconds, made.on_timeout = answer_seconds, on_timeout
        return made


@contextmanager
def waiting_for_locks(connection: Connection) -> Iterator[None]:
    """While the block runs, raise the time limit of statements to ``LOCK_SECONDS``."""
    raw: Any = connection.connection.driver_connection
    before, raw.answer_seconds = raw.answer_seconds, LOCK_SECONDS
    try:
        connection.execute(text(f"SET LOCAL statement_timeout = {round(LOCK_SECONDS * SERVERS_SHARE * 1000)}"))
        yield
        connection.execute(text("SET LOCAL statement_timeout = DEFAULT"))
    finally:
        raw.answer_seconds = before


def engine(url: str, *, answer_seconds: float | None, on_timeout: Callable[[], None]) -> Engine:
    """Return an engine whose connections have a time limit for each answer.

    Args:
        answer_seconds: the limit for each answer, and for getting a connection from the pool; None: no limit.
        on_timeout: called when an answer did not come in time.
    """
    drawn = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    made = create_engine(drawn, **POOL, pool_timeout=answer_seconds or 30.0)

    @event.listens_for(made, "do_connect")
    def _connect(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> TimedConnection:
        given = connection_options(answer_seconds) | parameters
        given["options"] = " ".join(filter(None, (server_options(answer_seconds), parameters.get("options"))))
        return TimedConnection.connect_timed(*arguments, answer_seconds=answer_seconds, on_timeout=on_timeout, **given)

    return made


def connection_options(answer_seconds: float | None) -> dict[str, Any]:
    """Return the parameters of a connection at the client. Those in the URL override them.

    >>> found = connection_options(3.0)
    >>> found["connect_timeout"], found["tcp_user_timeout"], found["keepalives_count"]
    (3, 3000, 3)
    """
    most = CONNECT_SECONDS if answer_seconds is None else min(CONNECT_SECONDS, round(answer_seconds))
    kept = {f"keepalives_{name}": number for name, number in KEEPALIVE.items()}
    settings = {"connect_timeout": max(LEAST_CONNECT_SECONDS, most), "keepalives": 1, **kept}
    return settings if answer_seconds is None else settings | {"tcp_user_timeout": round(answer_seconds * 1000)}


def server_options(answer_seconds: float | None) -> str:
    """Return the command-line options that configure a session at the server.

    >>> server_options(10.0).partition(" -c tcp")[0]
    '-c statement_timeout=8000 -c idle_in_transaction_session_timeout=300000'
    """
    settings = {f"tcp_keepalives_{name}": number for name, number in KEEPALIVE.items()}
    if answer_seconds is not None:
        limits = {
            "statement_timeout": round(answer_seconds * SERVERS_SHARE * 1000),
            "idle_in_transaction_session_timeout": round(IDLE_SECONDS * 1000),
        }
        settings = limits | settings
    return " ".join(f"-c {name}={number}" for name, number in settings.items())
