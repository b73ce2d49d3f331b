"""The objects of a store: files in a folder, or objects in a bucket with a time limit for its answers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from infra import private_files
from infra.circuit_breaker import CircuitBreaker
from secateur.disk_full import lacks_room
from secateur.errors import SecateurError, StorageFull, Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

PATIENT_SECONDS: Final = 40.0
"""The time limit for parts of large files, and for a copy inside a bucket, during which some providers send nothing.
It is shorter than a transaction of the database may be idle."""

CONNECT_SECONDS: Final = 5.0
ENDLESS: Final = timedelta(days=365)
"""The limit of a whole transfer. While bytes arrive, a transfer may take any time."""

FROM_ENVIRONMENT: Final = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "root_certificate",
    "timeout",
    "user_agent",
)
"""Options that operators set as ``AWS_...``. obstore does not read them when it gets other options as arguments."""


@dataclass(frozen=True)
class Objects:
    """The objects of a folder or bucket: ``quick`` for short requests, ``patient`` with a longer time limit."""

    quick: ObjectStore
    patient: ObjectStore
    folder: Path | None = None
    """The folder of a local store; None: the store is a bucket."""
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("The artifact store does not answer."))

    def probe(self) -> None:
        """Send a cheap request that a bucket must answer.

        Raises:
            Unavailable: the bucket does not answer.
        """
        with self.translated():
            try:
                obstore.head(self.quick, "staging/anything")
            except FileNotFoundError:
                return

    def check(self) -> None:
        """Raise ``Unavailable`` if the circuit breaker is open and this caller does not send the next probe."""
        self.breaker.check(self.probe)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Translate exceptions of the store to errors of ``secateur.errors``. They are never the user's fault."""
        try:
            yield
        except SecateurError:
            raise
        except (BaseError, OSError) as fault:
            if lacks_room(fault):
                hint = "Free some space and try again."
                raise StorageFull("The artifact store is full.", suggestions=[hint]) from fault
            if is_timeout(fault):
                self.breaker.open()
            raise Unavailable("The artifact store does not answer.", suggestions=["Try again in a moment."]) from fault


def opened(url: str, *, answer_seconds: float) -> Objects:
    """Open ``file:///folder`` (created if missing) or ``s3://bucket/prefix`` (credentials from ``AWS_...``).

    Args:
        url: of the store.
        answer_seconds: how long a bucket may take until its answer begins, or between two chunks of it.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        with suppress(OSError):  # the store itself says why
            private_files.make_folder(folder)
        local = LocalStore(folder, mkdir=True)
        return Objects(local, local, folder)
    quick, patient = (_bucket(url, seconds) for seconds in (answer_seconds, max(answer_seconds, PATIENT_SECONDS)))
    return Objects(quick, patient)


def is_timeout(fault: BaseException) -> bool:
    """Return whether an answer or a connection timed out. Only the message of obstore's exception says so.

    >>> is_timeout(TimeoutError("Generic S3 error: ... source: TimedOut")), is_timeout(OSError("ConnectionRefused"))
    (True, False)
    """
    return "TimedOut" in str(fault)


def _bucket(url: str, seconds: float) -> ObjectStore:
    configured = {name: os.environ[key] for name in FROM_ENVIRONMENT if (key := f"AWS_{name.upper()}") in os.environ}
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, seconds)),
        "read_timeout": timedelta(seconds=seconds),
        "timeout": ENDLESS,
    }
    # few retries: an early answer of 503 is better than a late one, and workers retry by themselves
    retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=seconds)}
    return from_url(url, client_options=cast("ClientConfig", options | configured), retry_config=retries)
