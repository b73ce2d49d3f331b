"""A circuit breaker for one part: once it has timed out, callers fail at once instead of waiting for it in turn.

A part that refuses connections fails each caller at once. A part that hangs blocks every caller until its time-out, and
forty such requests occupy all threads of a gateway.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from secateur.errors import Unavailable

PAUSE_SECONDS: Final = 1.0
"""Between two probes of a part that has timed out."""


class CircuitBreaker:
    """Open from a time-out of its part until the part answers a probe. Called by any number of threads.

    >>> breaker = CircuitBreaker("The store does not answer.")
    >>> breaker.check(lambda: print("a closed breaker sends no probe"))
    False
    >>> breaker.open()
    >>> breaker.is_open
    True
    """

    def __init__(self, detail: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._detail = detail
        self._clock = clock
        self._lock = threading.Lock()
        self._is_probing = False
        self._next_probe = 0.0
        self.is_open = False

    def open(self) -> None:
        """Remember that the part has just timed out."""
        with self._lock:
            self.is_open = True
            self._next_probe = self._clock() + PAUSE_SECONDS

    def check(self, probe: Callable[[], object]) -> bool:
        """Return if the part may be called. True if it has just answered the probe.

        Args:
            probe: a cheap request that the part must answer. One caller at a time sends it, once a second.

        Raises:
            Unavailable: the breaker is open, and another caller sends the next probe.
            Exception: whatever ``probe`` raises; the breaker stays open.
        """
        if not self.is_open or not self._may_probe():
            return False
        try:
            probe()
            self.is_open = False
            return True
        finally:
            self._is_probing, self._next_probe = False, self._clock() + PAUSE_SECONDS

    def _may_probe(self) -> bool:
        """Whether this caller sends the probe. False when the breaker was closed meanwhile."""
        with self._lock:
            if not self.is_open:
                return False
            if self._is_probing or self._clock() < self._next_probe:
                raise Unavailable(self._detail, suggestions=["Try again in a moment."])
            self._is_probing = True
            return True
