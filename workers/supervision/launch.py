"""Becomes another program, one that cannot outlive whoever started it.

Runs as a script between fork and exec: the limits must be set inside the new process, and running Python
between fork and exec of a process with threads can dead-lock.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def wrap(command: Sequence[str], *, memory_bytes: int | None = None) -> list[str]:
    """The command line that runs ``command`` bound to the life of the calling *thread*.

    The kernel sends the signal when the thread that forked ends, so call ``Popen`` from one that stays.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(memory_bytes or 0), *command]


def main(arguments: Sequence[str]) -> None:
    """Tie this process to its parent, set its limits, become the command."""
    parent, memory_bytes, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the kernel was asked to tell us
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if int(memory_bytes):
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory_bytes), int(memory_bytes)))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
