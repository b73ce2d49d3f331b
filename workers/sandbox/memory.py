"""How much memory a job's process may take where the operator does not say: its share of the machine's.

The memory of a machine is what its kernel has, or what its control group may use, as in a container, if that is less.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

LEAST_BYTES: Final = 4 << 30
"""TensorFlow's own data, stacks and pools take about a gigabyte of address space on small machines, more on large."""

RESERVED_BYTES: Final = 1 << 30
"""For the worker, the gateway and the system."""

ROOT: Final = Path("/")


def limit_of(setting: int | None, *, slots: int, root: Path = ROOT) -> int | None:
    """The limit on the data memory of one job's process in bytes; None where there is to be none.

    Args:
        setting: ``SECATEUR_JOB_MEMORY_BYTES``; 0 is no limit, None leaves the choice to this function.
        slots: how many jobs the worker runs at the same time.
        root: the root of the file system.
    """
    if setting is not None:
        return setting or None
    if (root / "dev/nvidiactl").exists():  # CUDA's address space was not measured against this limit
        return None
    known = [found for found in (_of_kernel(root), *_of_groups(root)) if found is not None]
    return max(LEAST_BYTES, (min(known) - RESERVED_BYTES) // slots) if known else None


def _of_kernel(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) << 10
    return None


def _of_groups(root: Path) -> Iterator[int | None]:
    """The limits of this process's control group and of all groups around it, of version 2 and of version 1."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            yield _number(top.joinpath(*parts[:depth], name))


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdigit() else None  # version 2 writes max where there is no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
