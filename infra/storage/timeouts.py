"""Waiting for a call that cannot be stopped, such as one into a library that waits for a network.

The call runs in a thread of its own. Whoever has no more reason to wait leaves it behind; it ends by itself at its
next piece, or when what it waits for has been silent for too long.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from infra.storage.digests import BeforeChunk

LOOK_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 0.5
"""For a call that only has to come to its next piece to end by itself, and to take away what it has half done."""

T = TypeVar("T")


def call_with_timeout(call: Callable[[], T], *, check: BeforeChunk) -> T:
    """The result of a call.

    Args:
        check: asked again and again while the call runs; what it raises ends the wait at once.

    Raises:
        Whatever the call raises.

    >>> call_with_timeout(lambda: 6 * 7, check=lambda: None)
    42
    """
    found: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as fault:  # noqa: BLE001 - raised again by the thread that waits
            faults.append(fault)

    thread = threading.Thread(target=work, name="waited-for", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(LOOK_SECONDS)
            if thread.is_alive():
                check()
    except BaseException:
        thread.join(GRACE_SECONDS)
        raise
    if faults:
        raise faults[0]
    return found[0]
