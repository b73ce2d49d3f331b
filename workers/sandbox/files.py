"""Landlock: which files a process may open, and that it can only signal itself (kernel 5.13 and newer).

A process may read and write its own folder. It may read Python, the libraries and the few system files that numeric
code needs. It can open no other file, whatever account owns it.
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
"""The packages that a child imports. When it runs from a checkout, that folder also holds data, whose names are digests
and jobs. So the child may not list the folder: it finds a package only if it was imported before (``import_packages``).
Modules of the packages can be imported later."""

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
"""The number of processors and the memory. ``/proc`` as a whole would reveal other processes."""
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
"""The rights in the process's own folder. It may create no links, devices, sockets and pipes there, which the
supervisor would have to handle."""


def import_packages() -> None:
    """Import the packages, which are empty themselves.

    Later the import system cannot find them, because it may not list their
    parent folder.
    """
    for name in PACKAGES:
        importlib.import_module(name)


def readable() -> tuple[Path, ...]:
    """Return the folders of Python and its libraries, as this process uses them."""
    ours = Path(__file__).resolve().parents[2]
    python = {Path(sys.prefix), Path(sys.base_prefix), *(Path(path) for path in sysconfig.get_paths().values())}
    packages = {ours / name for name in PACKAGES}
    others = {Path(entry) for entry in sys.path if entry and _is_library(Path(entry))}
    found = {path.resolve() for path in python | packages | others if path.exists()}
    return tuple(sorted(found))


def _is_library(entry: Path) -> bool:
    return entry.name in ("site-packages", "dist-packages", "lib-dynload") or entry.suffix == ".zip"


def reachable_by_others(paths: Iterable[Path]) -> bool:
    """Return whether an account without any rights could reach these paths."""
    return all(parent.stat().st_mode & stat.S_IXOTH for path in paths for parent in path.parents)


def restrict(folder: Path, readable: Iterable[Path]) -> None:
    """Restrict this process: it may read ``readable`` and ``SYSTEM``, write below ``folder``, and open nothing else.

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
    """Allow a path in ``/proc``. A rule applies to an inode, and ``/proc`` keeps an inode only while it is open."""
    if path.exists():
        os.open(path, os.O_PATH)
        _allow(rules, path, READ)
