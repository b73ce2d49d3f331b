"""The share of a machine's memory that a job's process may take."""

from pathlib import Path

import pytest

from workers.sandbox.memory import LEAST_BYTES, RESERVED_BYTES, limit_of

GIB = 1 << 30


def machine(root: Path, **files: str) -> Path:
    """A machine of 32 GiB, with more files."""
    known = {"proc/meminfo": f"MemTotal: {32 << 20} kB\nMemFree: 5 kB\n", "proc/self/cgroup": "0::/a/b\n"}
    for name, text in (known | {name.replace("__", "/"): text for name, text in files.items()}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(root: Path, path: str, text: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if path.startswith("memory") else "memory.max")).write_text(text)


@pytest.mark.parametrize("slots", [1, 3])
def test_slots_share_the_memory_of_the_machine(slots: int, tmp_path: Path) -> None:
    assert limit_of(None, slots=slots, root=machine(tmp_path)) == (32 * GIB - RESERVED_BYTES) // slots


@pytest.mark.parametrize("path", ["", "a", "a/b"])
def test_the_least_limit_of_the_groups_around_counts(path: str, tmp_path: Path) -> None:
    """A container sees its own group, or all groups of the machine; each may be the one with the limit."""
    machine(tmp_path)
    group(tmp_path, "a", "max\n")
    group(tmp_path, path, f"{9 * GIB}\n")

    assert limit_of(None, slots=1, root=tmp_path) == 9 * GIB - RESERVED_BYTES


def test_groups_of_version_1_count_too(tmp_path: Path) -> None:
    machine(tmp_path, proc__self__cgroup="4:cpu,cpuacct:/x\n3:memory:/x\n")
    group(tmp_path, "memory/x", f"{8 * GIB}\n")
    group(tmp_path, "memory", f"{1 << 62}\n")

    assert limit_of(None, slots=1, root=tmp_path) == 8 * GIB - RESERVED_BYTES


def test_on_a_small_machine_a_job_gets_what_tensorflow_needs(tmp_path: Path) -> None:
    """Less would refuse honest models; the kernel then ends a job before the worker."""
    group(machine(tmp_path), "", f"{2 * GIB}\n")

    assert limit_of(None, slots=2, root=tmp_path) == LEAST_BYTES


def test_the_operator_has_the_last_word(tmp_path: Path) -> None:
    """Zero takes the limit away."""
    machine(tmp_path)

    assert limit_of(5, slots=1, root=tmp_path) == 5
    assert limit_of(0, slots=1, root=tmp_path) is None


def test_none_is_set_beside_a_gpu_or_where_nothing_is_known(tmp_path: Path) -> None:
    assert limit_of(None, slots=1, root=tmp_path) is None
    assert limit_of(None, slots=1, root=machine(tmp_path, dev__nvidiactl="")) is None


def test_this_machine_has_a_limit_or_a_gpu() -> None:
    """The files are those that the kernel really has."""
    assert (limit_of(None, slots=1) or 0) >= LEAST_BYTES or Path("/dev/nvidiactl").exists()
