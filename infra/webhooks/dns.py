"""Names looked up with a time limit. The C library's own look-up cannot be stopped, and may take half a minute.

So each runs in a thread of its own that is left behind when it takes too long. How many may be under way is bounded,
for all together and for each party: whoever names slow name servers only keeps themselves waiting.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

TIMEOUT_SECONDS: Final = 5.0
MOST: Final = 16
MOST_OF_ONE: Final = 2

Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to addresses as text."""


class LookupFailed(Exception):
    """There is no address to be had; the text says why."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve the system, for as long as it takes.

    Raises:
        LookupFailed: it knows no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise LookupFailed(f"{host} has no address: {fault}") from fault
    return [str(entry[4][0]) for entry in found]


class Lookups:
    """Asks in threads, few at a time. Used by any number of threads."""

    def __init__(self, resolve: Resolve = resolve, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._resolve = resolve
        self._timeout_seconds = timeout_seconds
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def num_under_way(self) -> int:
        """Those that somebody waits for, and those that were given up and have not ended."""
        with self._lock:
            return self._under_way.total()

    def find(self, host: str, port: int, *, owner: str) -> Sequence[str]:
        """The addresses of a name.

        Raises:
            LookupFailed: there is none, or none in time, or earlier look-ups of this party have not ended yet.
        """
        self._begin(host, owner)
        found: list[Sequence[str] | Exception] = []

        def look() -> None:
            try:
                found.append(self._resolve(host, port))
            except Exception as fault:  # noqa: BLE001 - whatever it is belongs to who waits
                found.append(fault)
            finally:
                with self._lock:
                    self._under_way -= Counter([owner])

        thread = threading.Thread(target=look, name=f"lookup-{host[:40]}", daemon=True)
        try:
            thread.start()
        except RuntimeError as fault:  # the system has no room for one more
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
            if self._under_way[owner] >= MOST_OF_ONE or self._under_way.total() >= MOST:
                raise LookupFailed(f"{host} was not looked up: earlier look-ups have not ended yet")
            self._under_way[owner] += 1
