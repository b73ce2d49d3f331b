"""Working folders of running jobs. Whatever a dead worker left behind, the next one removes."""

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

LOCK: Final = ".lock"
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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


def remove_abandoned(root: Path) -> None:
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
    """Remove a folder and all in it, however deep it is and whatever permissions a job took away. Never raises.

    Folders are lifted to the top before they are emptied: neither long paths nor deep nesting come in the way, and no
    link is followed. What the system refuses to remove stays, for the next worker to try.
    """
    with suppress(OSError):
        folder.chmod(0o700)
        top = os.open(folder, FOLDER)
        try:
            while names := os.listdir(top):
                for name in names:
                    _flatten(top, name)
        finally:
            os.close(top)
        folder.rmdir()


def _flatten(top: int, name: str) -> None:
    """Remove an entry of the top folder; of one that is a folder, lift the folders in it and remove the rest."""
    if _unlinked(name, top):
        return
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, FOLDER, dir_fd=top)
    try:
        for each in os.listdir(inner):
            if not _unlinked(each, inner):
                os.chmod(each, 0o700, dir_fd=inner)  # to move a folder is to write into it
                os.rename(each, f"lifted-{secrets.token_hex(8)}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _unlinked(name: str, parent: int) -> bool:
    """Whether it was no folder, and is gone."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    os.unlink(name, dir_fd=parent)
    return True
