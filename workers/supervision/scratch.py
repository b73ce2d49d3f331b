"""Working folders of running jobs. Each worker removes the folders of dead workers."""

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from infra import private_files

LOCK: Final = ".lock"
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Create a folder for one worker process, and remove it at the end of the block. Remove those of dead workers
    first.

    A worker holds a lock on its folder while it lives. So a folder that can be locked is abandoned.
    """
    private_files.make_folder(root, private_files.data_folder_mode())
    with _locked(root):  # one worker at a time: a folder is not locked yet while it is being created
        _remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix="worker-", dir=root))
        folder.chmod(0o711)  # a child in an account of its own must reach its folder below this one
        lock = _open_lock(folder)
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            remove(folder)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of dead workers."""
    private_files.make_folder(root, private_files.data_folder_mode())
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
    """Remove a folder with its content, at any depth and with any permissions. Never raises.

    Inner folders are moved to the top before they are emptied, so long paths and deep nesting are no problem. Links are
    not followed. What the system refuses to remove is left for the next worker.
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
    """Remove an entry of the top folder. If it is a folder, move its inner folders to the top and remove the rest."""
    if _unlinked(name, top):
        return
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, FOLDER, dir_fd=top)
    try:
        for each in os.listdir(inner):
            if not _unlinked(each, inner):
                os.chmod(each, 0o700, dir_fd=inner)  # moving a folder needs the right to write to it
                os.rename(each, f"lifted-{secrets.token_hex(8)}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _unlinked(name: str, parent: int) -> bool:
    """Remove an entry unless it is a folder. Return whether it was removed."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    os.unlink(name, dir_fd=parent)
    return True
