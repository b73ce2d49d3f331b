"""Working folders: each worker has its own, and none outlives its worker for long."""

import os
from pathlib import Path

import pytest

from workers.supervision.scratch import remove, scratch


def test_a_worker_removes_its_folder_when_it_ends(tmp_path: Path) -> None:
    """Whatever jobs left in it goes with it."""
    with scratch(tmp_path) as folder:
        (folder / "job").mkdir()

    assert not folder.exists()


def test_a_worker_removes_what_dead_workers_left_and_nothing_of_living_ones(tmp_path: Path) -> None:
    """``kill -9`` leaves gigabytes behind; nobody else would ever remove them."""
    dead = tmp_path / "worker-dead"
    (dead / "job").mkdir(parents=True)
    (dead / "job" / "weights").write_bytes(bytes(10))

    with scratch(tmp_path) as living, scratch(tmp_path) as other:
        assert not dead.exists()
        assert living.exists()
        assert other.exists()


def test_a_folder_whose_permissions_a_job_took_away_is_removed(tmp_path: Path) -> None:
    """A job owns its folder and can make it unreadable for itself and for us."""
    inner = tmp_path / "job" / "locked"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x")
    inner.chmod(0)

    remove(tmp_path / "job")

    assert not (tmp_path / "job").exists()


def test_removing_a_folder_leaves_what_its_links_point_to(tmp_path: Path) -> None:
    """A job can link to anything; removing must stay inside."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "link").symlink_to(outside)

    remove(tmp_path / "job")

    assert outside.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize("deep", [300, 3000])
def test_a_folder_is_removed_however_deep_a_job_made_it(tmp_path: Path, deep: int) -> None:
    """Its path is longer than any call takes, and its depth more than Python recurses."""
    (tmp_path / "job").mkdir()
    at = os.open(tmp_path / "job", os.O_RDONLY)
    for _ in range(deep):
        os.mkdir("a" * 20, dir_fd=at)
        inner = os.open("a" * 20, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)

    remove(tmp_path / "job")

    assert not (tmp_path / "job").exists()


def test_what_cannot_be_removed_harms_nobody(tmp_path: Path) -> None:
    """A worker that could not start for the folder of a dead one would be worse than the folder."""
    remove(tmp_path / "never")

    (tmp_path / "file").write_text("no folder")
    remove(tmp_path / "file")

    assert (tmp_path / "file").exists()
