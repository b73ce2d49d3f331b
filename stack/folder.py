"""The data folder of one stack: nobody else's while it runs."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.faults import StackError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make the folder and hold it while the block runs. The kernel lets go of it when this process ends.

    Raises:
        StackError: another stack has it.
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
