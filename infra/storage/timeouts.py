"""Waits for calls that cannot be stopped, such as those of a library that waits for a network.

The call runs in a thread of its own. A caller that has no more reason to wait abandons it. The call then ends by itself
before its next chunk, or when the connection times out.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from infra.storage.digests import BeforeChunk

POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 0.5
"""How long an abandoned call gets to reach its next chunk, end by itself, and remove what is half done."""

T = TypeVar("T")


def call_with_timeout(call: Callable[[], T], *, check: BeforeChunk) -> T:
    """Return the result of a call.

    Args:
        call: runs in a thread of its own.
        check: called repeatedly while the call runs. An exception that it raises ends the wait.

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

    thread = threading.Thread(target=work, name="call-with-timeout", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if thread.is_alive():
                check()
    except BaseException:
        thread.join(GRACE_SECONDS)
        raise
    if faults:
        raise faults[0]
    return found[0]
