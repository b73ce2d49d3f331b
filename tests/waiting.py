"""Waiting for what another process or thread is about to do."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], *, within_seconds: float) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
