"""A file beside the store becomes a part of it: without a copy where that can be, and the same in every other way."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from infra.storage.staged_files import stage_file
from infra.storage.store import Store
from secateur.errors import Unavailable


def files(folder: Path) -> dict[str, int]:
    """Every file of a store, with its inode."""
    return {path.relative_to(folder).as_posix(): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def test_a_file_on_the_disk_of_the_store_is_not_copied(tmp_path: Path) -> None:
    """Five gigabytes would be written twice otherwise, and lie there twice meanwhile."""
    folder, upload = tmp_path / "store", tmp_path / "upload"
    store, digest = Store.from_url(folder.as_uri()), hashlib.sha256(b"model").hexdigest()
    upload.write_bytes(b"model")

    staged = asyncio.run(stage_file(store, upload))
    asyncio.run(store.keep(staged))

    assert (staged.digest, staged.num_bytes) == (f"sha256:{digest}", 5)
    assert files(folder) == {f"sha256/{digest[:2]}/{digest}": upload.stat().st_ino}


def test_a_file_elsewhere_is_copied(s3_url: str, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(3 << 20))
    store = Store.from_url(s3_url)

    staged = asyncio.run(stage_file(store, upload))
    asyncio.run(store.keep(staged))

    assert staged.num_bytes == 3 << 20
    assert asyncio.run(store.exists("sha256:" + hashlib.sha256(bytes(3 << 20)).hexdigest()))


def test_one_that_is_given_up_leaves_the_file_and_nothing_in_the_store(tmp_path: Path) -> None:
    """A quota refused it: there may be room later, and the bytes are still here."""
    folder, upload = tmp_path / "store", tmp_path / "upload"
    store = Store.from_url(folder.as_uri())
    upload.write_bytes(b"model")

    asyncio.run(store.discard(asyncio.run(stage_file(store, upload))))

    assert files(folder) == {}
    assert upload.read_bytes() == b"model"


def test_a_file_that_is_not_there_is_the_fault_of_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "store"

    with pytest.raises(Unavailable):
        asyncio.run(stage_file(Store.from_url(folder.as_uri()), tmp_path / "nowhere"))

    assert files(folder) == {}
