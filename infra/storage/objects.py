"""The objects that a store is made of: files of a folder, or of a bucket that must answer in time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from infra.circuit_breaker import CircuitBreaker
from secateur.disk_full import lacks_room
from secateur.errors import SecateurError, StorageFull, Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

PATIENT_SECONDS: Final = 40.0
"""For parts of large files, and for a copy inside a bucket, of which some providers say nothing before it is done.
Shorter than a transaction may idle."""

CONNECT_SECONDS: Final = 5.0
ENDLESS: Final = timedelta(days=365)
"""Of a transfer as a whole: as long as bytes come, it may take as long as it takes."""

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
"""Options that operators set as ``AWS_...``. obstore reads them by itself, but not beside options that it is given."""


@dataclass(frozen=True)
class Objects:
    """Where objects are, in the hands of those who expect an answer soon and of those who have time."""

    quick: ObjectStore
    patient: ObjectStore
    folder: Path | None = None
    """Of a local store; None: it is a bucket."""
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("The artifact store does not answer."))

    def ask(self) -> None:
        """Something small that a bucket must answer.

        Raises:
            Unavailable: it does not.
        """
        with self.translated():
            try:
                obstore.head(self.quick, "staging/anything")
            except FileNotFoundError:
                return

    def check(self) -> None:
        """Raise ``Unavailable`` when the bucket has just been silent and it is not this caller's turn to ask again."""
        self.breaker.check(self.ask)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Faults of the store as errors of our tree: never the user's fault."""
        try:
            yield
        except SecateurError:
            raise
        except (BaseError, OSError) as fault:
            if lacks_room(fault):
                hint = "Free some room and try again."
                raise StorageFull("The artifact store is full.", suggestions=[hint]) from fault
            if is_timeout(fault):
                self.breaker.open()
            raise Unavailable("The artifact store does not answer.", suggestions=["Try again in a moment."]) from fault


def opened(url: str, *, answer_seconds: float) -> Objects:
    """Open ``file:///folder`` (made when missing) or ``s3://bucket/prefix`` (credentials from ``AWS_...``).

    Args:
        answer_seconds: how long a bucket may keep silent, before its answer or between two pieces of it.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        local = LocalStore(folder, mkdir=True)
        return Objects(local, local, folder)
    quick, patient = (_bucket(url, seconds) for seconds in (answer_seconds, max(answer_seconds, PATIENT_SECONDS)))
    return Objects(quick, patient)


def is_timeout(fault: BaseException) -> bool:
    """Whether an answer, or a connection, did not come in time; obstore tells in words alone.

    >>> is_timeout(TimeoutError("Generic S3 error: ... source: TimedOut")), is_timeout(OSError("ConnectionRefused"))
    (True, False)
    """
    return "TimedOut" in str(fault)


def _bucket(url: str, seconds: float) -> ObjectStore:
    told = {name: os.environ[key] for name in FROM_ENVIRONMENT if (key := f"AWS_{name.upper()}") in os.environ}
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, seconds)),
        "read_timeout": timedelta(seconds=seconds),
        "timeout": ENDLESS,
    }
    # few tries: an answer of 503 soon is worth more than a late one, and workers try again by themselves
    retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=seconds)}
    return from_url(url, client_options=cast("ClientConfig", options | told), retry_config=retries)
