"""Reads HDF5 files to their end in a process of its own.

The HDF5 library runs in circles on some damaged files and dies of others; neither can be caught in the process that it
happens in. What this process survives is read again, by the process that asked for it. It is a new process
(``python -m engine.importers.formats.probe FILE SECONDS``), or, where none may be started any more, one forked before
and stands by.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from engine.importers.refusals import RESAVE
from secateur.errors import ArchiveUnreadable, WorkerCrashed

BASE_SECONDS: Final = 20.0
BYTES_PER_SECOND: Final = 10e6


def check(path: pathlib.Path) -> None:
    """Read the file in another process, within a time that its size allows.

    Raises:
        ArchiveUnreadable: the library does not come to an end with it, or dies of it.
        WorkerCrashed: somebody killed the process, which is nobody's fault who uploaded the file.
    """
    limit = round(BASE_SECONDS + path.stat().st_size / BYTES_PER_SECOND)
    code = (_standing_by.read if _standing_by else _in_a_new_process)(path.resolve(), limit)
    if code == -signal.SIGKILL:  # no library kills itself: somebody did, or the kernel when memory ran out
        raise WorkerCrashed(
            "The process that reads HDF5 files first was killed.",
            suggestions=["Ask the operator for workers with more memory, if it happens again."],
        )
    if code == -signal.SIGALRM:
        raise _damaged(f"reading it does not come to an end within {limit} seconds")
    if code < 0:
        raise _damaged(f"the HDF5 library dies of it (signal {-code})")


def _in_a_new_process(path: pathlib.Path, limit: int) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "engine.importers.formats.probe", str(path), str(limit)]
    return subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL).returncode


def _damaged(why: str) -> ArchiveUnreadable:
    return ArchiveUnreadable(
        f"The HDF5 file is damaged: {why}.",
        suggestions=["Upload it again; if that fails too, the file on your side is damaged.", RESAVE],
    )


@dataclass(frozen=True)
class _StandingBy:
    """A process that waits for files to read: asked through one pipe, answering through the other."""

    pid: int
    asking: int
    answering: int

    def read(self, path: pathlib.Path, limit: int) -> int:
        """As what ``subprocess`` calls a return code. It can die once: who asks again is told what it died of."""
        with suppress(BrokenPipeError):
            os.write(self.asking, json.dumps([str(path), limit]).encode() + b"\n")
            if os.read(self.answering, 1):
                return 0
        status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert status is not None
        return -status.si_status if status.si_code != os.CLD_EXITED else status.si_status


_standing_by: _StandingBy | None = None
"""Of this process, once it may start no other."""


def stand_by(prepare: Callable[[], None]) -> None:
    """Fork the process that ``check`` will use from now on. Call it while there is one thread.

    Args:
        prepare: is called in the new process before it reads anything: to confine it, to bind its life to ours.
    """
    global _standing_by
    asked, asking = os.pipe()
    answering, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(asking)
            os.close(answering)
            prepare()
            _serve(asked, answer)
        finally:
            os._exit(1)
    os.close(asked)
    os.close(answer)
    _standing_by = _StandingBy(pid, asking, answering)


def _serve(asked: int, answer: int) -> None:
    import h5py  # noqa: F401 - while there is nothing to do

    with os.fdopen(asked, "rb", buffering=0) as requests:
        for line in requests:
            path, limit = json.loads(line)
            try:
                touch(pathlib.Path(path), limit)
            except Exception:  # noqa: BLE001 - raises again where it can be told
                signal.alarm(0)
            os.write(answer, b".")


def touch(path: pathlib.Path, limit: int) -> None:
    """Read all that there is. What raises here will raise again where it can be told.

    The alarm has no handler: the kernel ends the process in the middle of a native call, and when its parent is gone.
    """
    import h5py

    from engine.importers.formats import hdf5_limits

    signal.alarm(limit)
    with h5py.File(path, "r", locking=False) as file:
        hdf5_limits.check(file, num_bytes=path.stat().st_size)
        dict(file.attrs)

        def read(_: str, item: object) -> None:
            dict(item.attrs)  # type: ignore[attr-defined]
            if isinstance(item, h5py.Dataset):
                item[()]

        file.visititems(read)
    signal.alarm(0)


if __name__ == "__main__":
    touch(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
