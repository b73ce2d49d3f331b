"""Uploads in pieces: whatever is interrupted, the offset tells what is here, and the end is that of a direct upload."""

import base64
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tusclient.client import TusClient

from infra.db.tables import ResumableUpload
from tests.backing import Backing
from tests.service.conftest import Running, Start, dataset_file, eventually, model_file
from tests.service.middleware.test_process import gateway_process

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def begin(http: httpx.Client, num_bytes: int, **values: str) -> str:
    """Begin an upload, of a model unless told otherwise. Returns its address."""
    headers = TUS | {
        "Upload-Length": str(num_bytes),
        "Upload-Metadata": metadata(**{"kind": "model", "name": "m.keras"} | values),
    }
    answer = http.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(http: httpx.Client, path: str, content: bytes, offset: int, **headers: str) -> httpx.Response:
    return http.patch(path, content=content, headers=PIECE | {"Upload-Offset": str(offset)} | headers)


def offset_of(http: httpx.Client, path: str) -> int:
    return int(http.head(path, headers=TUS).headers["upload-offset"])


def test_pieces_become_a_model_as_a_direct_upload_does(gateway: Running) -> None:
    content = model_file("pieces")
    path = begin(gateway.http, len(content))

    for start in range(0, len(content), 1000):
        answer = send(gateway.http, path, content[start : start + 1000], start)
        assert (answer.status_code, answer.headers["tus-resumable"]) == (204, "1.0.0")
        assert int(answer.headers["upload-offset"]) == min(start + 1000, len(content))

    told = gateway.http.get(path).json()
    model = gateway.http.get(f"/v1/models/{told['upload_id']}").json()
    assert (told["state"], model["state"], model["name"]) == ("accepted", "checking", "m.keras")
    assert model["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert list((gateway.data_dir / "uploads").glob(path.rpartition("/")[2])) == []
    direct = gateway.http.post("/v1/models", params={"name": "m.keras"}, content=content)
    assert (direct.status_code, direct.json()["id"]) == (200, model["id"])


def test_a_client_of_the_protocol_gets_along(gateway: Running, tmp_path: Path) -> None:
    """tuspy, with checksums, in pieces, and a second one that goes on where the first stopped."""
    path = tmp_path / "d.npz"
    path.write_bytes(dataset_file(77))
    client = TusClient(f"{gateway.url}/v1/uploads")
    values = {"kind": "dataset", "name": "d.npz", "scale": "1/255", "filetype": "application/zip"}

    first = client.uploader(str(path), chunk_size=3000, metadata=values, upload_checksum=True)
    first.upload_chunk()
    second = client.uploader(str(path), chunk_size=3000, url=first.url, upload_checksum=True)
    second.upload()

    told = httpx.get(first.url).json()
    assert told["state"] == "accepted"
    assert gateway.http.get(f"/v1/datasets/{told['upload_id']}").json()["scale"] == "1/255"


def test_what_is_spoken_here_is_told(gateway: Running) -> None:
    headers = gateway.http.options("/v1/uploads").headers

    assert headers["tus-version"] == "1.0.0"
    assert set(headers["tus-extension"].split(",")) == {"creation", "checksum", "termination", "expiration"}
    assert headers["tus-max-size"] == str(gateway.parts.settings.max_upload_bytes)
    assert headers["tus-checksum-algorithm"] == "sha1,sha256"


def sha1(content: bytes) -> str:
    return "sha1 " + base64.b64encode(hashlib.sha1(content).digest()).decode()


REFUSED = {
    "another offset": ({"Upload-Offset": "3"}, 409, "offset_mismatch"),
    "behind the end": ({"Upload-Offset": "9999"}, 409, "offset_mismatch"),
    "no offset": ({"Upload-Offset": ""}, 400, "upload_incomplete"),
    "another type": ({"Content-Type": "application/json"}, 415, "unsupported_format"),
    "another version": ({"Tus-Resumable": "0.2.2"}, 412, "protocol_unserved"),
    "another checksum": ({"Upload-Checksum": sha1(b"other")}, 460, "checksum_mismatch"),
    "an unknown checksum": ({"Upload-Checksum": "crc32 AAAA"}, 400, "upload_incomplete"),
    "half a checksum": ({"Upload-Checksum": "sha1 AAAA"}, 400, "upload_incomplete"),
}


@pytest.mark.parametrize(("headers", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refused_piece_changes_nothing(gateway: Running, headers: dict[str, str], status: int, code: str) -> None:
    path = begin(gateway.http, 100)
    send(gateway.http, path, b"begun", 0)

    answer = send(gateway.http, path, b"more", 5, **headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert offset_of(gateway.http, path) == 5
    assert send(gateway.http, path, b"more", 5, **{"Upload-Checksum": sha1(b"more")}).headers["upload-offset"] == "9"


@pytest.mark.parametrize("as_chunks", [False, True])
def test_more_than_was_announced_is_refused(gateway: Running, as_chunks: bool) -> None:
    path = begin(gateway.http, 10)
    headers = PIECE | {"Upload-Offset": "0"}

    answer = gateway.http.patch(path, content=iter([b"x" * 11]) if as_chunks else b"x" * 11, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert offset_of(gateway.http, path) == 0


BEGINNINGS = {
    "no length": ({"Upload-Length": ""}, 400, "upload_incomplete"),
    "a negative length": ({"Upload-Length": "-1"}, 400, "upload_incomplete"),
    "no bytes": ({"Upload-Length": "0"}, 422, "upload_empty"),
    "too many": ({"Upload-Length": str(10**15)}, 413, "upload_too_large"),
    "no kind": ({"Upload-Metadata": metadata(name="m.keras")}, 400, "upload_incomplete"),
    "no name": ({"Upload-Metadata": metadata(kind="model")}, 400, "upload_incomplete"),
    "another ending": ({"Upload-Metadata": metadata(kind="model", name="m.pt")}, 415, "unsupported_format"),
    "no base64": ({"Upload-Metadata": "kind model"}, 400, "upload_incomplete"),
    "an unknown declaration": (
        {"Upload-Metadata": metadata(kind="dataset", name="d.csv", lable="y")},
        422,
        "invalid_request",
    ),
    "a declared model": (
        {"Upload-Metadata": metadata(kind="model", name="m.keras", scale="1/255")},
        400,
        "upload_incomplete",
    ),
    "half a digest": (
        {"Upload-Metadata": metadata(kind="model", name="m.keras", digest="sha256:0")},
        400,
        "upload_incomplete",
    ),
}


@pytest.mark.parametrize(("headers", "status", "code"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_what_cannot_become_anything_is_refused_before_a_byte_is_sent(
    gateway: Running, headers: dict[str, str], status: int, code: str
) -> None:
    good = TUS | {"Upload-Length": "10", "Upload-Metadata": metadata(kind="model", name="m.keras")}

    answer = gateway.http.post("/v1/uploads", headers=good | headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("content", "values", "code"),
    [
        pytest.param(b"no archive", {}, "archive_unreadable", id="screening"),
        pytest.param(b"0123456789", {"digest": f"sha256:{'0' * 64}"}, "upload_incomplete", id="another digest"),
    ],
)
def test_an_upload_that_cannot_be_used_says_why_and_keeps_no_bytes(
    gateway: Running, content: bytes, values: dict[str, str], code: str
) -> None:
    path, before = begin(gateway.http, len(content), **values), gateway.stored()

    last = send(gateway.http, path, content, 0)

    told = gateway.http.get(path).json()
    assert last.json()["code"] == code
    assert (told["state"], told["failure"]["code"], told["upload_id"]) == ("refused", code, None)
    assert gateway.stored() == before
    assert not (gateway.data_dir / "uploads" / told["id"]).exists()
    assert send(gateway.http, path, b"", len(content)).status_code == 204


def test_an_upload_that_is_given_up_is_gone(gateway: Running) -> None:
    path = begin(gateway.http, 10)
    send(gateway.http, path, b"begun", 0)

    assert gateway.http.delete(path, headers=TUS).status_code == 204

    assert gateway.http.head(path, headers=TUS).status_code == 404
    assert not (gateway.data_dir / "uploads" / path.rpartition("/")[2]).exists()


def is_open(path: str) -> bool:
    """Whether the gateway, which is in this process, has the file of an upload open."""
    upload_id = path.rpartition("/")[2]
    with suppress(FileNotFoundError):
        return any(upload_id in os.readlink(entry) for entry in Path("/proc/self/fd").iterdir())
    return False


def test_of_two_writers_one_waits_and_no_byte_is_written_twice(gateway: Running) -> None:
    content = model_file("two writers")
    path = begin(gateway.http, len(content))
    may_go_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield content[:100]
        may_go_on.wait(10)
        yield content[100:]

    first: list[httpx.Response] = []
    headers = PIECE | {"Upload-Offset": "0"}
    thread = threading.Thread(target=lambda: first.append(gateway.http.patch(path, content=slowly(), headers=headers)))
    thread.start()
    assert eventually(lambda: is_open(path))  # a request of ours that came first would be the writer
    assert send(gateway.http, path, b"other", 0).status_code == 423
    may_go_on.set()
    thread.join()

    assert first[0].status_code == 204
    assert gateway.http.get(path).json()["state"] == "accepted"


def test_a_client_that_hangs_up_goes_on_where_it_was(gateway: Running) -> None:
    content = model_file("hung up")
    path = begin(gateway.http, len(content))
    lines = [f"PATCH {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in PIECE.items()), ""]
    head = "\r\n".join(lines)
    with gateway.connect() as connection:
        connection.sendall(
            f"{head}Upload-Offset: 0\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content[:1234]
        )
        assert eventually(lambda: is_open(path))  # a request of ours that came first would be the writer
        assert send(gateway.http, path, b"other", 0).status_code == 423
        time.sleep(0.1)  # what the server has not read when the connection ends is lost; then it is sent again

    assert eventually(lambda: offset_of(gateway.http, path) == 1234)
    assert send(gateway.http, path, content[1234:], 1234).status_code == 204
    assert gateway.http.get(path).json()["state"] == "accepted"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_an_upload_is_cut_into_pieces_its_bytes_are_the_same(gateway: Running, data: st.DataObject) -> None:
    """Also with pieces between that begin elsewhere, and pieces of nothing."""
    path, offset = begin(gateway.http, len(CUT)), 0
    while offset < len(CUT):
        elsewhere = data.draw(st.integers(0, len(CUT)).filter(lambda other, here=offset: other != here))  # type: ignore[misc]
        assert send(gateway.http, path, b"z", elsewhere).status_code == 409
        size = data.draw(st.integers(0, len(CUT) - offset))
        assert send(gateway.http, path, CUT[offset : offset + size], offset).status_code == 204
        offset += size

    told = gateway.http.get(path).json()
    model = gateway.http.get(f"/v1/models/{told['upload_id']}").json()
    assert model["digest"] == f"sha256:{hashlib.sha256(CUT).hexdigest()}"


CUT = model_file("cut")


def test_a_gateway_that_is_killed_while_it_writes_goes_on_from_its_disk(backing: Backing, tmp_path: Path) -> None:
    """Offset and file agree after the restart, at whatever byte it was killed."""
    content = model_file("killed")
    size = len(content)
    mine = backing.settings(tmp_path)
    with gateway_process(mine) as process, httpx.Client(base_url=process.url, timeout=10) as http:
        path = begin(http, size)
        assert send(http, path, content[:2000], 0).status_code == 204
        killer = threading.Timer(0.3, lambda: os.kill(process.popen.pid, signal.SIGKILL))

        def slowly() -> Iterator[bytes]:
            killer.start()
            for start in range(2000, size, 50):
                yield content[start : start + 50]
                time.sleep(0.02)

        with pytest.raises(httpx.TransportError):
            http.patch(path, content=slowly(), headers=PIECE | {"Upload-Offset": "2000"})
        process.popen.wait()
    partial = tmp_path / "uploads" / path.rpartition("/")[2]
    with partial.open("ab") as file:
        file.write(b"bytes behind the offset that were never counted")

    with gateway_process(mine) as process, httpx.Client(base_url=process.url, timeout=10) as http:
        offset = offset_of(http, path)
        assert 2000 <= offset <= size
        assert send(http, path, content[offset:], offset).status_code == 204
        told = http.get(path).json()
        assert told["state"] == "accepted"
        digest = http.get(f"/v1/models/{told['upload_id']}").json()["digest"]

    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_gateway_that_is_killed_before_it_looked_at_the_bytes_does_so_when_asked(gateway: Running) -> None:
    content = model_file("not looked at")
    path = begin(gateway.http, len(content))
    with gateway.parts.database.write() as session:
        session.get_one(ResumableUpload, path.rpartition("/")[2]).offset = len(content)
    (gateway.data_dir / "uploads" / path.rpartition("/")[2]).write_bytes(content)

    assert gateway.http.get(path).json()["state"] == "accepted"


def test_what_waits_too_long_for_its_next_piece_is_forgotten(start: Start) -> None:
    with start(resume_hours=0.5 / 3600) as running:
        path = begin(running.http, 10)
        send(running.http, path, b"begun", 0)
        assert (running.data_dir / "uploads" / path.rpartition("/")[2]).exists()

        assert eventually(lambda: running.http.head(path, headers=TUS).status_code == 404)
        begin(running.http, 10)

        assert not (running.data_dir / "uploads" / path.rpartition("/")[2]).exists()


def test_announced_bytes_count(start: Start) -> None:
    """Otherwise a disk could be filled with uploads that nobody ends."""
    with start(quota_stored_bytes=100) as running:
        path = begin(running.http, 60)
        headers = TUS | {"Upload-Length": "50", "Upload-Metadata": metadata(kind="model", name="m.keras")}

        assert running.http.post("/v1/uploads", headers=headers).json()["code"] == "quota_exceeded"
        running.http.delete(path, headers=TUS)
        assert running.http.post("/v1/uploads", headers=headers).status_code == 201
