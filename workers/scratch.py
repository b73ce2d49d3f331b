"""Working folders of running jobs. Whatever a dead worker left behind, the next one removes."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK = ".lock"


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder for one worker process, removed at the end; also removes those of workers that are no more.

    A worker holds a lock on its own folder for as long as it lives, so a folder that can be locked is nobody's.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):  # one at a time, so that nobody takes a folder for abandoned while it is being made
        _remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix="worker-", dir=root))
        folder.chmod(0o711)  # a child may have an account of its own, and must get to its own folder
        lock = _open_lock(folder)
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            remove(folder)


def tidy(root: Path) -> None:
    """Remove the folders of workers that are no more."""
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        _remove_abandoned(root)


def _remove_abandoned(root: Path) -> None:
    for abandoned in root.glob("worker-*"):
        _remove_if_abandoned(abandoned)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with _open_lock(folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(BlockingIOError), _open_lock(folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)


def _open_lock(folder: Path) -> IO[str]:
    return (folder / LOCK).open("a")


def remove(folder: Path) -> None:
    """Remove a folder and all in it, also where a job took its own permissions away. Never follows a link."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
