"""DNS look-ups with a time limit. The look-up of the C library cannot be stopped, and may take half a minute.

So each look-up runs in a thread of its own, which is abandoned when it takes too long. The number of look-ups under way
is limited, in total and for each owner: an owner with slow name servers only delays itself.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

TIMEOUT_SECONDS: Final = 5.0
MAX_LOOKUPS: Final = 16
MAX_LOOKUPS_OF_AN_OWNER: Final = 2

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host name and a port, as text."""


class LookupFailed(Exception):
    """The look-up gave no address; the message says why."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Look up a name through the operating system, without a time limit.

    Raises:
        LookupFailed: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise LookupFailed(f"{host} has no address: {fault}") from fault
    return [str(entry[4][0]) for entry in found]


class Lookups:
    """Looks up names in threads, a few at a time. Called by any number of threads."""

    def __init__(self, resolve: Resolve = resolve, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._resolve = resolve
        self._timeout_seconds = timeout_seconds
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def num_under_way(self) -> int:
        """How many look-ups have not ended, those that were abandoned included."""
        with self._lock:
            return self._under_way.total()

    def find(self, host: str, port: int, *, owner: str) -> Sequence[str]:
        """Return the addresses of a name.

        Raises:
            LookupFailed: there is no address, or none in time, or earlier look-ups of this owner have not ended yet.
        """
        self._begin(host, owner)
        found: list[Sequence[str] | Exception] = []

        def look() -> None:
            try:
                found.append(self._resolve(host, port))
            except Exception as fault:  # noqa: BLE001 - raised again in the waiting thread
                found.append(fault)
            finally:
                with self._lock:
                    self._under_way -= Counter([owner])

        thread = threading.Thread(target=look, name=f"lookup-{host[:40]}", daemon=True)
        try:
            thread.start()
        except RuntimeError as fault:  # the system can start no more threads
            with self._lock:
                self._under_way -= Counter([owner])
            raise LookupFailed("no look-up could be started") from fault
        thread.join(self._timeout_seconds)
        if not found:
            raise LookupFailed(f"{host} was not found within {self._timeout_seconds:.0f} seconds")
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _begin(self, host: str, owner: str) -> None:
        with self._lock:
            if self._under_way[owner] >= MAX_LOOKUPS_OF_AN_OWNER or self._under_way.total() >= MAX_LOOKUPS:
                raise LookupFailed(f"{host} was not looked up: earlier look-ups have not ended yet")
            self._under_way[owner] += 1
