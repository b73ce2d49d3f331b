"""A wire between a service and what it stands on, which can be held still: nothing is refused, nothing is answered.

That is what a stopped server looks like, and a network that swallows packets: connections come about (the kernel
accepts them), bytes are taken, and nothing happens. When the wire is let go all of it arrives, late.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

Address = tuple[str, int] | Path
"""Of TCP, or of a unix socket."""

PIECE_BYTES: Final = 1 << 16


class Wire:
    """Leads from an address of its own to another one."""

    def __init__(self, listener: socket.socket, to: Address) -> None:
        self._listener = listener
        self._to = to
        self._moves = threading.Event()
        self._moves.set()
        self.num_accepted = 0

    @property
    def port(self) -> int:
        """Of its end that is connected to, if that is TCP."""
        return int(self._listener.getsockname()[1])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing comes through while the block runs."""
        self._moves.clear()
        try:
            yield
        finally:
            self._moves.set()

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.num_accepted += 1
                threading.Thread(target=self._lead, args=[near], daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        self._moves.wait()
        try:
            far = connected(self._to)
        except OSError:
            near.close()
            return
        threading.Thread(target=self._pump, args=[far, near], daemon=True).start()
        self._pump(near, far)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                self._moves.wait()
                target.sendall(piece)
        with suppress(OSError):
            self._moves.wait()
            target.shutdown(socket.SHUT_WR)


def connected(to: Address) -> socket.socket:
    """A connection to an address.

    Raises:
        OSError: there is none to be had.
    """
    if isinstance(to, Path):
        there = socket.socket(socket.AF_UNIX)
        there.connect(str(to))
        return there
    return socket.create_connection(to)


@contextmanager
def wire(to: Address, at: Path | None = None) -> Iterator[Wire]:
    """A wire from a unix socket at this path, or from a free port of this machine, until the block ends."""
    if at is None:
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(at))
        listener.listen(128)
    try:
        with listener:
            made = Wire(listener, to)
            threading.Thread(target=made.serve, daemon=True).start()
            yield made
    finally:
        if at is not None:
            at.unlink()
