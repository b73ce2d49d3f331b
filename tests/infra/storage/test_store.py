"""Blobs by content, in a folder and in S3 alike."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import obstore
import pytest

from infra.settings import Settings
from infra.storage.store import PART_BYTES, Staged, Store
from secateur.errors import InternalError, Unavailable, UploadEmpty, UploadTooLarge
from tests.servers import Servers

SIZES = [pytest.param(1, id="a byte"), pytest.param(2 * PART_BYTES + 3, id="several parts")]
LIMIT = 1 << 30


class HungUp(Exception):
    """A client went away."""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def keys(store: Store) -> list[str]:
    """Everything that is in the store."""
    return sorted(item["path"] for page in obstore.list(store._objects) for item in page)


async def pieces(content: bytes, *, fault: Exception | None = None) -> AsyncIterator[bytes]:
    """The content as a client would send it; then the fault, if there is one."""
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]
    if fault is not None:
        raise fault


def stage(store: Store, content: bytes, *, limit_bytes: int = LIMIT, fault: Exception | None = None) -> Staged:
    return asyncio.run(store.stage(pieces(content, fault=fault), limit_bytes=limit_bytes))


def keep(store: Store, content: bytes) -> str:
    staged = stage(store, content)
    asyncio.run(store.keep(staged))
    return staged.digest


def read(store: Store, digest: str, start: int, end: int) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in store.read(digest, start=start, end=end)])

    return asyncio.run(collect())


@pytest.mark.parametrize("size", SIZES)
def test_what_is_staged_can_be_read_kept_and_fetched(store: Store, tmp_path: Path, size: int) -> None:
    content = b"abcdefg" * (size // 7) + b"h" * (size % 7)

    staged = stage(store, content)

    assert (staged.digest, staged.num_bytes) == (digest_of(content), size)
    with store.open_staged(staged) as file:
        file.seek(-1, 2)
        assert bytes(file.read(5)) == content[-1:]
    asyncio.run(store.keep(staged))
    assert keys(store) == [f"sha256/{staged.digest[7:9]}/{staged.digest[7:]}"]
    store.fetch(staged.digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == content


def test_a_staged_upload_that_is_discarded_is_gone(store: Store) -> None:
    staged = stage(store, b"unwanted")

    asyncio.run(store.discard(staged))

    assert keys(store) == []


def test_discarding_what_was_kept_takes_nothing_away(store: Store) -> None:
    """Whoever cleans up after a fault does not know how far things went."""
    staged = stage(store, b"wanted")
    asyncio.run(store.keep(staged))

    asyncio.run(store.discard(staged))

    assert asyncio.run(store.exists(staged.digest))


def test_the_same_content_is_stored_once(store: Store, tmp_path: Path) -> None:
    """Uploaded twice, and left by a job as well."""
    (tmp_path / "same").write_bytes(b"the same")

    digests = {keep(store, b"the same"), keep(store, b"the same"), store.put(tmp_path / "same")[0]}

    assert len(digests) == 1
    assert len(keys(store)) == 1


@pytest.mark.parametrize("size", SIZES)
def test_a_source_that_fails_leaves_nothing(store: Store, size: int) -> None:
    """A client that hangs up half-way, ten thousand times, must not fill the disk."""
    with pytest.raises(HungUp):
        stage(store, bytes(size), fault=HungUp())

    assert keys(store) == []


@pytest.mark.only("servers", reason="a folder has no multipart uploads")
def test_no_unfinished_upload_is_left_in_s3_either(s3_url: str, real_servers: Servers) -> None:
    """Parts of a multipart upload that was not aborted cannot be listed as objects, and cost money."""
    store = Store.from_url(s3_url)

    with pytest.raises(HungUp):
        stage(store, bytes(3 * PART_BYTES), fault=HungUp())

    client = boto3.client("s3", endpoint_url=real_servers.s3)
    assert client.list_multipart_uploads(Bucket=s3_url.split("/")[2]).get("Uploads", []) == []


def test_the_limit_is_the_last_size_that_is_taken(store: Store) -> None:
    size = 3 << 20

    assert stage(store, bytes(size), limit_bytes=size).num_bytes == size
    before = keys(store)
    with pytest.raises(UploadTooLarge):
        stage(store, bytes(size + 1), limit_bytes=size)

    assert keys(store) == before


def test_a_source_is_not_read_past_the_limit(store: Store) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1 << 20)

    with pytest.raises(UploadTooLarge):
        asyncio.run(store.stage(endless(), limit_bytes=4 << 20))

    assert taken == 5


def test_an_empty_source_is_refused(store: Store) -> None:
    with pytest.raises(UploadEmpty):
        stage(store, b"")

    assert keys(store) == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(0, 10, id="first bytes"),
        pytest.param(1000, 1001, id="a byte in the middle"),
        pytest.param(2_999_990, 3_000_000, id="last bytes"),
        pytest.param(0, 3_000_000, id="all"),
        pytest.param(5, 5, id="nothing"),
    ],
)
def test_a_part_of_a_blob_can_be_read(store: Store, start: int, end: int) -> None:
    content = bytes(index % 251 for index in range(3_000_000))
    digest = keep(store, content)

    assert read(store, digest, start, end) == content[start:end]


def test_a_damaged_blob_is_noticed_when_it_is_fetched(store: Store, tmp_path: Path) -> None:
    """A disk that lies must not end up in somebody's model."""
    digest = keep(store, b"as it was")
    obstore.put(store._objects, keys(store)[0], b"as it is!")

    with pytest.raises(InternalError, match="damaged"):
        store.fetch(digest, tmp_path / "fetched")


def test_a_lost_blob_is_a_fault_of_the_service(store: Store, tmp_path: Path) -> None:
    missing = digest_of(b"never stored")

    with pytest.raises(InternalError, match="lost"):
        store.fetch(missing, tmp_path / "fetched")
    with pytest.raises(InternalError, match="lost"):
        read(store, missing, 0, 5)
    assert not asyncio.run(store.exists(missing))


def test_deleting_twice_is_deleting_once(store: Store) -> None:
    digest = keep(store, b"short-lived")

    store.delete(digest)
    store.delete(digest)

    assert keys(store) == []


def test_a_local_file_is_put_under_its_digest(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3" * 100)

    digest, num_bytes = store.put(tmp_path / "model.tflite")

    assert (digest, num_bytes) == (digest_of(b"TFL3" * 100), 400)
    assert read(store, digest, 0, 400) == b"TFL3" * 100


def test_a_ping_leaves_nothing(store: Store) -> None:
    store.ping()

    assert keys(store) == []


def test_a_folder_that_has_become_a_file_is_unavailable(tmp_path: Path) -> None:
    store = Store.from_url((tmp_path / "store").as_uri())
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("in the way")

    with pytest.raises(Unavailable):
        store.ping()


@pytest.mark.only("servers", reason="it is about S3")
@pytest.mark.timeout(60)
def test_an_s3_that_is_away_is_unavailable_soon(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness must be told while its asker still listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    with pytest.raises(Unavailable):
        Store.from_url(s3_url).ping()


@pytest.mark.parametrize("name", ["plain", "with spaces", "a#b?c%41"])
def test_the_default_store_lies_where_the_data_are(tmp_path: Path, name: str) -> None:
    """A folder's name may hold what means something in a URL."""
    store = Store.from_url(Settings(data_dir=tmp_path / name).store)

    store.ping()

    assert (tmp_path / name / "store" / "staging").is_dir()
