"""Remembers that a part did not answer in time, so that not everybody who needs it waits for it in turn.

A part that refuses is found out at once, by each who asks. One that hangs keeps each for as long as it may take; forty
of them are all the threads of a gateway, and whoever comes next would wait for a thread.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from secateur.errors import Unavailable

PAUSE_SECONDS: Final = 1.0
"""Between two who ask a silent part whether it answers again."""


class CircuitBreaker:
    """Whether one part is silent. Called by any number of threads.

    >>> silence = Silence("The store does not answer.")
    >>> silence.check(lambda: print("nobody asks a part that answers"))
    >>> silence.note()
    >>> silence.is_noted
    True
    """

    def __init__(self, detail: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._detail = detail
        self._clock = clock
        self._lock = threading.Lock()
        self._is_asking = False
        self._ask_at = 0.0
        self.is_noted = False

    def note(self) -> None:
        """Remember that the part has just kept somebody waiting for too long."""
        with self._lock:
            self.is_noted = True
            self._ask_at = self._clock() + PAUSE_SECONDS

    def check(self, ask: Callable[[], object]) -> bool:
        """Return when the part is worth a try: it was not silent, or it answers to ``ask`` now, which is returned.

        Args:
            ask: something small that the part must answer. One caller at a time asks, each second.

        Raises:
            Unavailable: it is silent, and it is not this caller's turn to ask.
            Whatever ``ask`` raises; then it is still away.
        """
        if not self.is_noted or not self._may_ask():
            return False
        try:
            ask()
            self.is_noted = False
            return True
        finally:
            self._is_asking, self._ask_at = False, self._clock() + PAUSE_SECONDS

    def _may_ask(self) -> bool:
        """Take the turn to ask. False when the part has answered meanwhile."""
        with self._lock:
            if not self.is_noted:
                return False
            if self._is_asking or self._clock() < self._ask_at:
                raise Unavailable(self._detail, suggestions=["Try again in a moment."])
            self._is_asking = True
            return True
