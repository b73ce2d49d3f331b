"""What a child leaves is taken in only when it is what a job may leave, and only as long as somebody wants it."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.storage.digests import CHUNK_BYTES
from infra.storage.store import Store
from secateur.errors import InternalError, OutputsTooLarge
from secateur.protocol.progress import ProducedFile
from tests.backing import Backing, stored
from workers.supervision.outputs import OutputLimits, RejectedOutput, collect

ANY = OutputLimits()


class Enough(Exception):
    """Somebody wants it no longer."""


def after(num_pieces: int) -> Callable[[], None]:
    """Wants so many pieces and no more."""
    left = iter(range(num_pieces))

    def before_chunk() -> None:
        if next(left, None) is None:
            raise Enough

    return before_chunk


@pytest.fixture
def settings(backing: Backing, tmp_path: Path) -> Settings:
    return backing.settings(tmp_path, migrated=False)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store.from_url(settings.store)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def take(
    store: Store, out: Path, *names: str, limits: OutputLimits = ANY, before_chunk: Callable[[], object] = lambda: None
) -> list[str]:
    """Collect files of these names. Returns the digests that were announced."""
    announced: list[str] = []
    files = [ProducedFile(name=name, media_type="x/y") for name in names]
    collect(store, out, files, announce=announced.extend, limits=limits, before_chunk=before_chunk)
    return announced


def test_plain_files_are_announced_then_stored(store: Store, out: Path) -> None:
    (out / "a.json").write_bytes(b"a")
    (out / "b.bin").write_bytes(b"b" * (2 * CHUNK_BYTES + 1))

    announced = take(store, out, "a.json", "b.bin")

    assert {blob.digest for blob in store.blobs()} == set(announced)
    assert {blob.num_bytes for blob in store.blobs()} == {1, 2 * CHUNK_BYTES + 1}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda file, other: os.link(other, file), id="another name of a file"),
        pytest.param(lambda file, other: os.symlink(other, file), id="a link"),
        pytest.param(lambda file, other: os.mkfifo(file), id="a pipe"),
        pytest.param(lambda file, other: os.mkdir(file), id="a folder"),
        pytest.param(lambda file, other: None, id="nothing"),
    ],
)
def test_what_is_no_file_of_its_own_is_not_believed(
    store: Store, out: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    """A second name would let a job pass off a file of others as its own, where both are on one disk."""
    (tmp_path / "secret").write_bytes(b"of somebody else")
    make(out / "left", tmp_path / "secret")

    with pytest.raises(RejectedOutput, match="left"):
        take(store, out, "left")

    assert list(store.blobs()) == []


def test_more_files_than_allowed_are_not_believed(store: Store, out: Path) -> None:
    for name in "abc":
        (out / name).write_bytes(b"x")

    with pytest.raises(RejectedOutput, match=r"3 files; 2 are"):
        take(store, out, *"abc", limits=OutputLimits(num_files=2))


def test_a_file_that_is_named_twice_is_not_believed(store: Store, out: Path) -> None:
    (out / "a").write_bytes(b"x")

    with pytest.raises(RejectedOutput, match="twice"):
        take(store, out, "a", "a")


def test_files_that_are_too_large_together_are_refused_unread(store: Store, out: Path) -> None:
    """A file with a hole holds any number of bytes and takes none; read and stored it would take all of them."""
    with (out / "hole").open("wb") as file:
        file.truncate(1 << 40)
    (out / "small").write_bytes(b"x")

    with pytest.raises(OutputsTooLarge, match=f"{(1 << 40) + 1} bytes; {1 << 40} are"):
        take(store, out, "hole", "small", limits=OutputLimits(num_bytes=1 << 40), before_chunk=after(0))


@pytest.mark.parametrize("num_pieces", [2, 7], ids=["while it is hashed", "while it is stored"])
def test_nothing_is_left_of_what_is_wanted_no_longer(
    settings: Settings, store: Store, out: Path, num_pieces: int
) -> None:
    """Cancelling a job need not wait until gigabytes are hashed, and leaves no half of them."""
    (out / "model").write_bytes(b"m" * (5 * CHUNK_BYTES))

    with pytest.raises(Enough):
        take(store, out, "model", before_chunk=after(num_pieces))

    assert stored(settings) == set()


def test_bytes_are_not_stored_under_the_digest_of_others(settings: Settings, store: Store, tmp_path: Path) -> None:
    """Should a file change between the two times that it is read, its name would lie for ever."""
    (tmp_path / "file").write_bytes(b"other")
    with (tmp_path / "file").open("rb") as file, pytest.raises(InternalError, match="changed"):
        store.put_open(file, "sha256:" + "0" * 64)

    assert stored(settings) == set()


def test_fetching_ends_with_the_reason_for_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(io.BytesIO(os.urandom(6 * CHUNK_BYTES)).getvalue())
    digest, _ = store.put(tmp_path / "data")

    with pytest.raises(Enough):
        store.fetch(digest, tmp_path / "copy", before_chunk=after(2))

    assert (tmp_path / "copy").stat().st_size < 6 * CHUNK_BYTES
