"""A disk that is soon full: a file system in memory, of a few megabytes."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIECE: Final = bytes(1 << 16)


class NoDisk(Exception):
    """This machine lets nobody mount anything."""


@dataclass(frozen=True)
class Disk:
    """Where it is to be found."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not one byte is left while the block runs, also of what others give back meanwhile."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(0.02):
                self._fill()

        self._fill()
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._filler.unlink()

    def _fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for piece in (PIECE, b"\0"):
                try:
                    while True:
                        file.write(piece)
                except OSError:
                    continue

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Disk]:
    """A disk that is mounted at a folder, or, for who may not mount there, in a user namespace of its own.

    Raises:
        NoDisk: neither is allowed.
    """
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield Disk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    script = '"$@" && echo mounted && exec cat'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *mount]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            raise NoDisk("neither mount nor a user namespace with a mount is allowed here")
        try:
            yield Disk(Path(f"/proc/{holder.pid}/root{folder}"))
        finally:
            holder.stdin.close()
