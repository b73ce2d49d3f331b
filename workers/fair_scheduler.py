"""Fair scheduling: next is the owner with the fewest tasks under way, of those the one that has waited longest.

No owner has more than a few tasks under way.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

MOST_AT_ONCE: Final = 2


class FairScheduler:
    """Chooses owners for threads that each do one task at a time. Called by any number of threads."""

    def __init__(self, most_at_once: int = MOST_AT_ONCE) -> None:
        self._most_at_once = most_at_once
        self._under_way: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, waiting: Sequence[str]) -> Iterator[str | None]:
        """Give the owner whose task is done in the block; None if all waiting owners have as many under way as allowed.

        >>> turns = FairScheduler(most_at_once=1)
        >>> with turns.turn(["ann", "bob"]) as first, turns.turn(["ann", "bob"]) as second:
        ...     print(first, second)
        ann bob
        """
        owner = self._take(waiting)
        try:
            yield owner
        finally:
            if owner is not None:
                with self._lock:
                    self._under_way -= Counter([owner])

    def _take(self, waiting: Sequence[str]) -> str | None:
        with self._lock:
            free = [owner for owner in waiting if self._under_way[owner] < self._most_at_once]
            if not free:
                return None
            owner = min(free, key=lambda owner: (self._under_way[owner], self._served.get(owner, 0)))
            self._under_way[owner] += 1
            remembered = {*waiting, *self._under_way}  # other owners lose their place in the order
            self._served = {name: at for name, at in self._served.items() if name in remembered}
            self._served[owner] = next(self._numbers)
            return owner
