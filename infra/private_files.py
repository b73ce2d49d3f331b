"""Files and folders that only the service's account may read: the database, the store, uploads, logs.

What the service creates is private from the beginning. ``tighten`` does the same to what is there already.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = 0o600
FOLDER: Final = 0o700
PASSABLE: Final = 0o711
"""Of folders that jobs must pass on the way to their own, where each job has an account of its own."""

BESIDE_SQLITE: Final = ("", "-wal", "-shm", "-journal")
"""The suffixes of the files of a SQLite database. SQLite gives new ones the mode of the database."""


def data_folder_mode() -> int:
    """Return the mode of the data folder. Where the service is root, jobs have other accounts, and pass through."""
    return PASSABLE if os.geteuid() == 0 else FOLDER


def make_folder(folder: Path, mode: int = FOLDER) -> None:
    """Create a folder, and its parents with the mode of a data folder. A folder that exists keeps its mode.

    Raises:
        OSError: the folder cannot be created.
    """
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            with suppress(FileExistsError):  # another process has just created it
                wanted = mode if path == folder else data_folder_mode()
                path.mkdir(mode=wanted)
                path.chmod(wanted)  # whatever the umask took away
    folder.mkdir(exist_ok=True)


def make_sqlite_file(path: Path) -> None:
    """Create an empty database file, which SQLite fills, unless there is one. SQLite reports what is wrong."""
    with suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, FILE))


def tighten(path: Path, mode: int) -> bool:
    """Take rights away from a file or folder until it has none that ``mode`` lacks.

    Return False if it still has them, because it belongs to another account. One that does not exist is fine.
    """
    try:
        now = stat.S_IMODE(path.stat().st_mode)
        if now & ~mode:
            path.chmod(now & mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def tighten_sqlite(path: Path) -> bool:
    """Make the files of a SQLite database private. Return False if one of them belongs to another account."""
    tightened = [tighten(path.with_name(path.name + suffix), FILE) for suffix in BESIDE_SQLITE]
    return all(tightened)
