"""The bounds of the archive reader, each at its edge, and what it asks of the storage behind it."""

import errno
import io
import zipfile
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from screening import archive as rules
from screening import screen
from screening.archive import Archive
from secateur.errors import ArchiveUnreadable, ArchiveUnsafe
from tests.badfiles import good_npz, zipped


class Counted(io.BytesIO):
    """A file that tells how much of it was read."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.num_read += len(data)
        return data


class Failing(io.BytesIO):
    """A file on storage that goes away after its first bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 8:
            raise OSError(errno.EIO, "the storage does not answer")
        return super().read(size)


def test_a_thousand_members_pass_and_one_more_does_not() -> None:
    """The bound is a promise, so its edge is exact."""
    at_edge = zipped({f"m{index}": b"" for index in range(rules.MAX_MEMBERS)})
    beyond = zipped({f"m{index}": b"" for index in range(rules.MAX_MEMBERS + 1)})

    assert len(Archive(io.BytesIO(at_edge)).sizes) == rules.MAX_MEMBERS
    with pytest.raises(ArchiveUnsafe, match="1001 members"):
        Archive(io.BytesIO(beyond))


def test_a_small_array_may_pack_as_tightly_as_it_likes() -> None:
    """Equal labels pack a thousandfold, and are no bomb."""
    data = zipped({"y_train.npy": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)

    assert Archive(io.BytesIO(data)).sizes == {"y_train.npy": 1 << 20}


def test_only_what_is_needed_is_inflated() -> None:
    """A member whose directory entry lies about its size cannot fill the memory."""
    archive = Archive(io.BytesIO(zipped({"m": bytes(8 << 20)}, zipfile.ZIP_DEFLATED)))

    assert archive.read_head("m", 100) == bytes(100)


def test_a_member_longer_than_declared_is_found() -> None:
    """The declared size is what every bound was held against."""
    data = zipped({"m": b"a" * 5_000}, zipfile.ZIP_DEFLATED)
    start = data.index(b"PK\x01\x02")
    lying = data[: start + 24] + (100).to_bytes(4, "little") + data[start + 28 :]

    with pytest.raises(ArchiveUnreadable), Archive(io.BytesIO(lying)) as archive:
        archive.inflate_all()


def test_little_of_a_large_upload_is_read() -> None:
    """The gateway may read it from S3, over the network."""
    import numpy as np

    x = np.zeros((1_000, 4_096), "float32")
    y = np.zeros(1_000, "int64")
    buffer = io.BytesIO()
    np.savez(buffer, x_train=x, y_train=y, x_test=x, y_test=y)
    file = Counted(buffer.getvalue())

    screen("dataset", "data.npz", file)

    assert file.num_read < len(buffer.getvalue()) / 100


def test_uploads_are_read_straight_from_the_store(tmp_path: Path) -> None:
    """Its readers return buffers that are not ``bytes``, which ``zipfile`` alone would choke on."""
    store = LocalStore(tmp_path)
    obstore.put(store, "staged", good_npz())

    assert screen("dataset", "data.npz", obstore.open_reader(store, "staged")) == "npz"  # type: ignore[arg-type]


def test_a_fault_of_the_storage_is_not_blamed_on_the_archive() -> None:
    """Telling a user that a good file is damaged sends them on a search for nothing."""
    file = Failing(good_npz())

    with pytest.raises(OSError, match="storage does not answer"):
        screen("dataset", "data.npz", file)


def test_the_file_stays_open() -> None:
    """Who opened it closes it, perhaps after another look."""
    file = io.BytesIO(good_npz())

    screen("dataset", "data.npz", file)

    assert not file.closed


def test_a_huge_directory_is_refused_before_it_is_read() -> None:
    """Each of its entries becomes an object of half a kilobyte; there may be millions in an upload."""
    data = zipped({f"m{index:0200}": b"" for index in range(5_000)})

    with pytest.raises(ArchiveUnsafe, match="directory of the archive takes"):
        Archive(io.BytesIO(data))


def edited(data: bytes, offset: int, change: bytes) -> bytes:
    """An archive of one member whose directory says something else."""
    start = data.index(b"PK\x01\x02") + offset
    return data[:start] + change + data[start + len(change) :]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(zipped({"a\nb": b"x"}), "unprintable name", id="a name of two lines"),
        pytest.param(zipped({"a\\b": b"x"}), "outside its folder", id="a path of Windows"),
        pytest.param(zipped({"n" * 256: b"x"}), "overlong", id="a name of 256 characters"),
        pytest.param(zipped({"m": b"x" * 99}, zipfile.ZIP_BZIP2), "unusual method", id="another packing"),
        pytest.param(zipped({"a/b": b"x", "a/.//b": b"y"}), "two members named", id="two ways to one path"),
        pytest.param(edited(zipped({"m": b"x" * 99}), 24, bytes([50, 0])), "two different sizes", id="two sizes"),
    ],
)
def test_a_member_that_readers_could_take_differently_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ArchiveUnsafe, match=told):
        Archive(io.BytesIO(data))


def test_a_name_may_have_255_characters() -> None:
    assert list(Archive(io.BytesIO(zipped({"n" * 255: b"x"}))).sizes) == ["n" * 255]


def test_an_archive_unpacks_to_so_many_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is so large itself that the ratio would allow more."""
    monkeypatch.setattr(rules, "MAX_INFLATED_BYTES", 99)

    Archive(io.BytesIO(zipped({"m": bytes(99)})))
    with pytest.raises(ArchiveUnsafe, match="at most 99"):
        Archive(io.BytesIO(zipped({"m": bytes(100)})))
