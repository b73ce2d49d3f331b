"""Uploads that break off: whatever has come so far is gone, and the gateway goes on."""

import socket
import struct
from pathlib import Path

import httpx
import pytest

from tests.backing import Backing, staged
from tests.service.conftest import Running, eventually
from tests.service.middleware.test_process import gateway_process

FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.npz"\r\n\r\n'
FILLING = b"x" * 300_000


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def request(*headers: str, body: bytes) -> bytes:
    lines = ["POST /v1/datasets?name=a.npz HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


FORM_TYPE = "Content-Type: multipart/form-data; boundary=b"
CUT = {
    "after the headers": request("Content-Length: 1000000", body=b""),
    "after one byte": request("Content-Length: 1000000", body=b"x"),
    "in the middle": request("Content-Length: 1000000", body=FILLING),
    "a byte before the end": request("Content-Length: 300001", body=FILLING),
    "between two chunks": request("Transfer-Encoding: chunked", body=chunk(FILLING)),
    "inside of a chunk": request("Transfer-Encoding: chunked", body=chunk(FILLING)[:-1000]),
    "before the form's file": request("Content-Length: 1000000", FORM_TYPE, body=FORM[:20]),
    "inside of the form's file": request("Content-Length: 1000000", FORM_TYPE, body=FORM + FILLING),
    "inside of the last boundary": request("Content-Length: 300200", FORM_TYPE, body=FORM + FILLING + b"\r\n--"),
}


def reset(connection: socket.socket) -> None:
    """Break a connection as a crash does: without a goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", CUT.values(), ids=CUT)
def test_half_an_upload_leaves_nothing(sent: bytes, is_reset: bool, gateway: Running) -> None:
    before = gateway.traces()
    connection = gateway.connect()
    connection.sendall(sent)
    eventually(lambda: bool(gateway.staged()), within_seconds=0.2)

    if is_reset:
        reset(connection)
    else:
        connection.close()

    assert eventually(lambda: gateway.traces() == before)
    assert gateway.http.get("/health/live").status_code == 200


def test_an_upload_that_is_under_way_is_on_its_way_into_the_store(gateway: Running) -> None:
    """Otherwise the test above would find nothing because nothing was ever written."""
    connection = gateway.connect()

    connection.sendall(request("Content-Length: 100000000", body=b"x" * 20_000_000))

    assert eventually(lambda: bool(gateway.staged()))
    connection.close()
    assert eventually(lambda: not gateway.staged())


def test_a_gateway_that_is_told_to_go_drops_half_uploads(backing: Backing, tmp_path: Path) -> None:
    """The next one would not know of them."""
    settings = backing.settings(tmp_path)
    with gateway_process(settings) as gateway:
        url = httpx.URL(gateway.url)
        with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
            connection.sendall(request("Content-Length: 100000000", body=b"x" * 20_000_000))
            assert eventually(lambda: bool(staged(settings)))

            gateway.stop()

    assert not staged(settings)
