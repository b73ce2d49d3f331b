"""The data folder of a stack, which only one stack may use at a time, and no other account may read."""

import fcntl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra import private_files
from infra.telemetry.logs import logger
from stack.faults import StackError

DATABASE: Final = "secateur.db"
FOLDERS: Final = ("store", "uploads", "logs", "broker")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Create a folder, and lock it while the block runs. The kernel removes the lock when this process ends.

    Raises:
        StackError: another stack has locked the folder.
    """
    private_files.make_folder(folder, private_files.data_folder_mode())
    with (folder / "stack.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise StackError(
                f"Another service is using {folder}.", "Stop it, or give this one a folder of its own with --data-dir."
            ) from fault
        yield


def make_private(folder: Path) -> None:
    """Make a data folder private that an earlier version created, or a person. Warn of what cannot be changed.

    The folder itself keeps its mode if it holds files of others too, such as a home folder or ``/tmp``. The files and
    folders of the stack in it are private all the same.
    """
    private = [private_files.tighten(folder / name, private_files.FOLDER) for name in FOLDERS]
    private.append(private_files.tighten_sqlite(folder / DATABASE))
    if _is_ours(folder):
        private.append(private_files.tighten(folder, private_files.data_folder_mode()))
    else:
        logger("stack").warning("other accounts may list the data folder; it holds other files too", folder=str(folder))
    if not all(private):
        logger("stack").warning("files in the data folder belong to another account", folder=str(folder))


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is private already, or holds nothing but what stacks leave in it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    known = {"stack.lock", "scratch", *FOLDERS, *(DATABASE + suffix for suffix in private_files.BESIDE_SQLITE)}
    return not mode & ~private_files.data_folder_mode() or {path.name for path in folder.iterdir()} <= known
