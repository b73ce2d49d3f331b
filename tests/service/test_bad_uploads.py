"""Uploads that are refused: the right code, a way out, and nothing left behind."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.tables import Job, Upload
from tests.badfiles import BAD_UPLOADS, BadUpload, good_npz, keras_file, sequential
from tests.service.gateway import World, answer_of, eventually, problem_of

MODEL = keras_file(sequential())
REFUSED_AT_ONCE = [bad for bad in BAD_UPLOADS if bad.where == "screening"]


def nothing_is_left(world: World) -> bool:
    return (world.rows(Upload), world.rows(Job), world.files()) == (0, 0, [])


@pytest.mark.parametrize("bad", REFUSED_AT_ONCE, ids=lambda bad: bad.id)
def test_a_bad_file_is_refused_with_its_own_code_and_nothing_is_left(world: World, bad: BadUpload) -> None:
    answer = world.http.post(f"/v1/{bad.kind}s", params={"name": bad.name}, content=bad.build())

    problem = problem_of(answer, 415 if bad.code == "unsupported_format" else 422, bad.code)
    assert problem["suggestions"], "every refusal says how to fix it"
    assert nothing_is_left(world)


@pytest.mark.parametrize(
    ("params", "parts", "status", "code"),
    [
        pytest.param({}, {"content": MODEL}, 400, "upload_incomplete", id="no name"),
        pytest.param({"name": "../"}, {"content": MODEL}, 400, "upload_incomplete", id="a name that is a folder"),
        pytest.param({"name": "a\nb.keras"}, {"content": MODEL}, 400, "upload_incomplete", id="unprintable name"),
        pytest.param({"name": "x" * 257 + ".keras"}, {"content": MODEL}, 422, "invalid_request", id="name too long"),
        pytest.param({"name": "m.keras"}, {"content": b""}, 422, "upload_empty", id="no bytes"),
        pytest.param({"name": "m.h5"}, {"content": MODEL}, 415, "unsupported_format", id="another format"),
        pytest.param({}, {"files": {"other": ("m.keras", MODEL)}}, 400, "upload_incomplete", id="form without file"),
        pytest.param({}, {"files": {"file": ("m.keras", b"")}}, 422, "upload_empty", id="form with an empty file"),
        pytest.param({}, {"data": {"a": "b"}, "files": {}}, 400, "upload_incomplete", id="form with other fields"),
        pytest.param(
            {},
            {"files": [("file", ("a.keras", MODEL)), ("file", ("b.keras", MODEL))]},
            400,
            "upload_incomplete",
            id="form with two files",
        ),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_left(
    world: World, params: dict[str, str], parts: Any, status: int, code: str
) -> None:
    answer = world.http.post("/v1/models", params=params, **parts)

    problem_of(answer, status, code)
    assert nothing_is_left(world)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no form at all", id="no form"),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.keras"\r\n\r\n' + MODEL,
            id="no boundary at the end",
        ),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.keras"\r\n\r\n' + MODEL[:50],
            id="half a file",
        ),
        pytest.param(b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.keras"', id="half a header"),
    ],
)
def test_a_form_that_is_cut_is_refused_although_its_length_is_right(world: World, body: bytes) -> None:
    """A client that crashes while it builds the body sends what it has, with the length of that."""
    answer = world.http.post("/v1/models", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    problem_of(answer, 400, "upload_incomplete")
    assert nothing_is_left(world)


FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="d.npz"\r\n\r\n'


@pytest.mark.parametrize(
    ("head", "start"),
    [
        pytest.param("Content-Length: 1000000", b"", id="raw body"),
        pytest.param("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000", FORM, id="form"),
        pytest.param("Transfer-Encoding: chunked", b"ffffff\r\n", id="chunked body"),
    ],
)
def test_half_an_upload_leaves_nothing(world: World, head: str, start: bytes) -> None:
    """Laptops are closed and networks fail: no row, no blob, no staging object may remain."""
    with world.connect() as connection:
        connection.sendall(
            f"POST /v1/datasets?name=d.npz HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + start + good_npz() * 50
        )
        assert eventually(lambda: _has_begun(world))

    assert eventually(lambda: nothing_is_left(world) and not _is_busy(world))


def _has_begun(world: World) -> bool:
    """The gateway has the bytes in its hands; the store may keep them in memory so far."""
    time.sleep(0.1)
    return True


def _is_busy(world: World) -> bool:
    return any("staging" in name for name in world.files())


def test_half_an_upload_that_has_reached_the_disk_leaves_nothing(large_world: World) -> None:
    """More than one part: the store has begun to write when the client goes away."""
    with large_world.connect() as connection:
        head = f"POST /v1/datasets?name=d.npz HTTP/1.1\r\nHost: x\r\nContent-Length: {100 << 20}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(20):
            connection.sendall(bytes(1 << 20))
        assert eventually(lambda: large_world.files() != [])

    assert eventually(lambda: nothing_is_left(large_world))


@pytest.mark.parametrize("kind", ["raw", "form"])
def test_an_upload_that_says_that_it_is_too_large_is_refused_before_it_begins(world: World, kind: str) -> None:
    """No byte of the body is sent here: the answer comes all the same, and costs nobody two gigabytes."""
    form = "Content-Type: multipart/form-data; boundary=b\r\n" if kind == "form" else ""
    length = world.settings.max_upload_bytes + (1 << 17)
    with world.connect() as connection:
        head = f"POST /v1/models?name=m.keras HTTP/1.1\r\nHost: x\r\n{form}Content-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())

        status, headers, body = answer_of(connection)

    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert str(world.settings.max_upload_bytes).encode() in body
    assert nothing_is_left(world)


def test_an_upload_of_unknown_length_is_refused_when_it_passes_the_limit(world: World) -> None:
    """Chunked: the gateway has to count, and stops counting at once."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    with world.connect() as connection:
        connection.sendall(b"POST /v1/models?name=m.keras HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.settimeout(0.5)
        for piece in endless():
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            if sent > world.settings.max_upload_bytes + (1 << 20):
                break
        connection.settimeout(10)

        status, _, body = answer_of(connection)

    assert status == 413
    assert b"upload_too_large" in body
    assert nothing_is_left(world)


def test_a_client_that_sends_all_of_it_still_reads_the_refusal(world: World) -> None:
    """Most clients read no answer before they have sent their body."""
    answer = world.http.post(
        "/v1/models", params={"name": "m.keras"}, content=bytes(world.settings.max_upload_bytes + (8 << 20))
    )

    problem_of(answer, 413, "upload_too_large")


def test_an_upload_may_be_exactly_as_large_as_the_limit(world: World) -> None:
    answer = world.http.post("/v1/models", params={"name": "m.keras"}, content=bytes(world.settings.max_upload_bytes))

    problem_of(answer, 422, "archive_unreadable")


def test_the_connection_can_be_used_on_after_a_refusal(world: World) -> None:
    with httpx.Client(base_url=world.http.base_url, limits=httpx.Limits(max_connections=1)) as client:
        problem_of(
            client.post("/v1/models", params={"name": "m.h5"}, content=bytes(1 << 20)), 415, "unsupported_format"
        )

        assert client.get("/health/live").status_code == 200
