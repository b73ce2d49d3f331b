"""Executes another program that cannot outlive its parent.

It runs as a script of its own, because limits must be set in the new process, and running Python between fork and exec
in a process with threads can deadlock.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def wrap(command: Sequence[str], *, memory_bytes: int | None = None) -> list[str]:
    """Return the command line that runs ``command`` until the calling *thread* ends.

    The kernel kills the process when the thread that forked it ends, so call ``Popen`` in a thread that stays alive.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(memory_bytes or 0), *command]


def main(arguments: Sequence[str]) -> None:
    """Bind this process to its parent, set its limits, and execute the command."""
    parent, memory_bytes, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent ended before prctl was called
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if int(memory_bytes):
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory_bytes), int(memory_bytes)))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
