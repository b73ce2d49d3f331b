"""Exponential back-off: the pauses between two tries to do something that has just failed."""


class Backoff:
    """Pauses of which each is twice as long as the one before, up to a longest one. For use by one thread.

    >>> backoff = Backoff(first_seconds=0.5, longest_seconds=3.0)
    >>> [backoff.next_pause_seconds() for _ in range(5)]
    [0.5, 1.0, 2.0, 3.0, 3.0]
    >>> backoff.reset()
    >>> backoff.next_pause_seconds()
    0.5
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._next_seconds = first_seconds

    def next_pause_seconds(self) -> float:
        """Return how long to pause before the next try."""
        pause = self._next_seconds
        self._next_seconds = min(2 * pause, self._longest_seconds)
        return pause

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._next_seconds = self._first_seconds
