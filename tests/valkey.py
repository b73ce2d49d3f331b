"""A real broker for tests."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.broker import broker_command, broker_url


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path as short as the address of a socket must be."""
    folder = Path(tempfile.mkdtemp(prefix="sct-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A Valkey server that keeps its data in this folder, as its URL."""
    socket = folder / "broker.sock"
    server = subprocess.Popen(broker_command(socket, folder), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield broker_url(socket)
    finally:
        server.terminate()
        server.wait(timeout=10)
