"""Changes from root to an account that owns nothing. Capabilities are set by the raw system call, without a library."""

import ctypes
import os
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_SET_SECUREBITS: Final = 28
SECBIT_NO_SETUID_FIXUP: Final = 1 << 2
SIGKILL: Final = 9
CAP_DAC_READ_SEARCH: Final = 2
_NEEDED: Final = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7
_CAPABILITY_VERSION_3: Final = 0x20080522
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def may_change_accounts() -> bool:
    """Return whether this process may give children accounts and folders of their own, and end them.

    It needs the capabilities to change owners, to signal, and to change groups and users (0, 5, 6 and 7). Root has them
    in most containers, but not in all.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & _NEEDED == _NEEDED
    return False


def change_account(uid: int, *, reads_all: bool) -> None:
    """Change to an account in a group of its own, without capabilities. Needs root.

    Args:
        uid: the id of the account and of its group.
        reads_all: keep the right to read all files. For a Python inside a user's home folder, and only together with
            Landlock, which restricts the files.
    """
    _prctl(PR_SET_KEEPCAPS, 1)
    if reads_all:  # without it access(2), which TensorFlow uses to find files, ignores the right
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _set_capabilities(1 << CAP_DAC_READ_SEARCH if reads_all else 0)
    die_with_parent(os.getppid())  # the kernel forgets it when the account changes


def drop_capabilities() -> None:
    """Drop the capabilities of this account, so that limits can no longer be raised."""
    _set_capabilities(0)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends.

    Exit if the parent has already ended.
    """
    _prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _set_capabilities(kept: int) -> None:
    header, data = _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)()
    data[0].effective = data[0].permitted = kept
    if _LIBC.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
