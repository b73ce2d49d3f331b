"""The lock of a data folder, which only one stack may use at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.faults import StackError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Create a folder, and lock it while the block runs. The kernel removes the lock when this process ends.

    Raises:
        StackError: another stack has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stack.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise StackError(
                f"Another service is using {folder}.", "Stop it, or give this one a folder of its own with --data-dir."
            ) from fault
        yield
