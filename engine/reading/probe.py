"""Reads an HDF5 file to its end in a process of its own: ``python -m engine.reading.probe FILE SECONDS``.

The HDF5 library runs in circles on some damaged files and dies of others; neither can be caught in the process that it
happens in. What this process survives is read again, by the process that asked for it.
"""

import os
import pathlib
import signal
import subprocess
import sys
from typing import Final

from engine.reading.refusals import RESAVE
from jobspec.errors import ArchiveUnreadable

BASE_SECONDS: Final = 20.0
BYTES_PER_SECOND: Final = 10e6


def check(path: pathlib.Path) -> None:
    """Read the file in another process, within a time that its size allows.

    Raises:
        ArchiveUnreadable: the library does not come to an end with it, or dies of it.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    limit = round(BASE_SECONDS + path.stat().st_size / BYTES_PER_SECOND)
    command = [sys.executable, "-m", "engine.reading.probe", str(path.resolve()), str(limit)]
    ended = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
    if ended.returncode == -signal.SIGALRM:
        raise _damaged(f"reading it does not come to an end within {limit} seconds")
    if ended.returncode < 0:
        raise _damaged(f"the HDF5 library dies of it (signal {-ended.returncode})")


def _damaged(why: str) -> ArchiveUnreadable:
    return ArchiveUnreadable(
        f"The HDF5 file is damaged: {why}.",
        suggestions=["Upload it again; if that fails too, the file on your side is damaged.", RESAVE],
    )


def main() -> None:
    """Touch all that there is. What raises here will raise again where it can be told.

    The alarm has no handler: the kernel ends the process in the middle of a native call, and when its parent is gone.
    """
    import h5py

    from engine.reading import hdf5_limits

    path = pathlib.Path(sys.argv[1])
    signal.alarm(int(sys.argv[2]))
    with h5py.File(path, "r", locking=False) as file:
        hdf5_limits.check(file, num_bytes=path.stat().st_size)
        dict(file.attrs)

        def touch(_: str, item: object) -> None:
            dict(item.attrs)  # type: ignore[attr-defined]
            if isinstance(item, h5py.Dataset):
                item[()]

        file.visititems(touch)


if __name__ == "__main__":
    main()
