"""An answer before the end of the request arrives, and its connection ends."""

import socket
import time
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.service.conftest import Running

BIG = 40_000_000
"""More than all buffers between the two ends hold."""


def read_to_the_end(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("path", ["/v1/models?name=a.pt", "/v1/nowhere"], ids=["wrong format", "too large"])
def test_a_client_that_reads_only_after_sending_gets_the_answer(path: str, gateway: Running) -> None:
    """A server that closed at once would reset the connection, and the client would never see why."""
    with gateway.connect() as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BIG}\r\n\r\n".encode() + bytes(BIG)
        )

        answer = read_to_the_end(connection)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 415", b"HTTP/1.1 413"))
    assert b"connection: close" in head.lower()
    assert body.endswith(b"}")


def send_for_long(connection: socket.socket) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


def test_a_client_that_never_stops_is_cut_off(gateway: Running) -> None:
    """It would cost bandwidth for nothing, for as long as it likes."""
    start = time.monotonic()

    with gateway.connect() as connection:
        connection.sendall(
            b"POST /v1/models?name=a.pt HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with pytest.raises(ConnectionError):
            send_for_long(connection)

    assert time.monotonic() - start > 1, "it may have been about to read the answer"


def test_a_request_that_was_read_keeps_its_connection(gateway: Running) -> None:
    """One that is opened for each request costs time."""
    host = gateway.url.removeprefix("http://")
    with closing(HTTPConnection(host, timeout=10)) as connection:
        sockets = set()
        for _ in range(2):
            connection.request("POST", "/v1/jobs", body=b"{}")
            answer = connection.getresponse()
            answer.read()
            sockets.add(connection.sock)

    assert answer.status == 422
    assert len(sockets) == 1
    assert None not in sockets
