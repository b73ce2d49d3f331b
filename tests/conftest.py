"""What tests of several packages stand on: a real broker."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import connect
from stack.broker import broker_command, broker_url


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """A Valkey server of this test run. Its folder is short, as the address of a socket must be."""
    folder = Path(tempfile.mkdtemp(prefix="sct-"))
    socket = folder / "broker.sock"
    server = subprocess.Popen(broker_command(socket, folder), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield broker_url(socket)
    server.terminate()
    server.wait(timeout=10)
    shutil.rmtree(folder)


@pytest.fixture
def broker(valkey: str) -> str:
    """The URL of an empty broker."""
    with connect(valkey) as client:
        client.flushall()
    return valkey
