"""Landlock: which files a process may open, and that its signals stay with itself (kernel 5.13 and newer).

The own folder is there to read and write; Python, the libraries and the few files of the system that numeric code looks
at can be read; everything else cannot be opened, whoever owns it.
"""

import importlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from landlockpy import AccessFS, Ruleset, Scope, abi_version

__all__ = ["abi_version", "import_packages", "reachable_by_others", "readable", "restrict"]

PACKAGES: Final = ("secateur", "screening", "reporting", "engine", "workers")
"""Ours that a child imports. Its checkout also holds data when it is run in place, so never the whole of it, not even
its names, which are digests and jobs. So a package is found only if it was imported before (``import_packages``);
what is in it can be imported later."""

SYSTEM: Final = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/sys/devices/system",
)
PROC: Final = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems")
"""How many processors, how much memory. Not ``/proc`` as a whole: it tells of other processes."""
WRITABLE_DEVICES: Final = ("/dev/null",)
ACCELERATORS: Final = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/kfd", "/dev/dri/*")
ACCELERATORS_PROC: Final = ("/proc/driver/nvidia", "/proc/devices", "/proc/modules")

READ: Final = AccessFS.READ_FILE | AccessFS.READ_DIR
WRITE: Final = (
    AccessFS.WRITE_FILE
    | AccessFS.TRUNCATE
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_DIR
    | AccessFS.REMOVE_FILE
    | AccessFS.REMOVE_DIR
    | AccessFS.REFER
)
"""In the own folder. No links, devices, sockets and pipes: whoever collects the files need not meet them."""


def import_packages() -> None:
    """Import the packages, which are empty by themselves. The import system finds none in a folder it may not list."""
    for name in PACKAGES:
        importlib.import_module(name)


def readable() -> tuple[Path, ...]:
    """Python and its libraries, as this process has them."""
    ours = Path(__file__).resolve().parents[2]
    python = {Path(sys.prefix), Path(sys.base_prefix), *(Path(path) for path in sysconfig.get_paths().values())}
    packages = {ours / name for name in PACKAGES}
    others = {Path(entry) for entry in sys.path if entry and _is_library(Path(entry))}
    found = {path.resolve() for path in python | packages | others if path.exists()}
    return tuple(sorted(found))


def _is_library(entry: Path) -> bool:
    return entry.name in ("site-packages", "dist-packages", "lib-dynload") or entry.suffix == ".zip"


def reachable_by_others(paths: Iterable[Path]) -> bool:
    """Whether an account without any rights could get to these paths."""
    return all(parent.stat().st_mode & stat.S_IXOTH for path in paths for parent in path.parents)


def restrict(folder: Path, readable: Iterable[Path]) -> None:
    """Let this process open what ``readable`` and ``SYSTEM`` name, and write below ``folder``; nothing else.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
        for path in (*readable, *map(Path, SYSTEM)):
            _allow(rules, path, READ)
        for name in (*PROC, *ACCELERATORS_PROC):
            _allow_in_proc(rules, Path(name))
        for path in (*map(Path, WRITABLE_DEVICES), *_devices()):
            _allow(rules, path, READ | AccessFS.WRITE_FILE | AccessFS.IOCTL_DEV)
        rules.allow_path(folder, READ | WRITE)
        rules.restrict()


def _devices() -> Iterable[Path]:
    return (path for pattern in ACCELERATORS for path in Path("/").glob(pattern.lstrip("/")))


def _allow(rules: Ruleset, path: Path, access: AccessFS) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        access &= ~AccessFS.READ_DIR
    rules.allow_path(path, access)


def _allow_in_proc(rules: Ruleset, path: Path) -> None:
    """A rule is about an inode, and ``/proc`` makes new ones when it has forgotten; what is held open it remembers."""
    if path.exists():
        os.open(path, os.O_PATH)
        _allow(rules, path, READ)
