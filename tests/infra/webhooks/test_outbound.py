"""Where webhooks may go: judged by address, at the moment of going there."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from infra.webhooks import outbound
from infra.webhooks.outbound import Unreachable, check_url, post
from secateur.errors import WebhookUrlRefused


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https:///path",
        "example.com",
        "https://user:word@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com/\x7f",
        "https://[half/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://0.0.0.0/",
    ],
)
def test_a_url_that_leads_inside_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        check_url(url, "public")


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?a=b", "https://93.184.215.14:8443/", "https://bücher.example/"]
)
def test_a_url_of_the_internet_is_taken(url: str) -> None:
    check_url(url, "public")


def test_an_operator_can_open_the_own_network_but_not_where_clouds_keep_credentials() -> None:
    check_url("http://10.1.2.3:8080/", "any")
    with pytest.raises(WebhookUrlRefused):
        check_url("http://169.254.169.254/", "any")


def named(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Let a name have these addresses, others each time it is asked for."""
    left = list(answers)

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_that_leads_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, ["127.0.0.1"])

    with pytest.raises(Unreachable, match="must not reach"):
        post("https://rebind.example/", b"{}", {}, targets="public")


def test_one_address_of_several_that_leads_inside_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, ["93.184.215.14", "10.0.0.1"])

    with pytest.raises(Unreachable, match="must not reach"):
        post("https://rebind.example/", b"{}", {}, targets="public")


class Receiver(BaseHTTPRequestHandler):
    """Answers what its path says, and remembers what came."""

    came: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append((self.path, self.headers["host"], body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("location", "/200")
        self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(b"x" * 5000)

    def log_message(self, *_: object) -> None:
        """Tell nobody."""


@pytest.fixture
def receiver() -> Any:
    Receiver.came = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_connection_goes_to_the_address_that_was_checked(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked a second time the name would lead elsewhere: it must not be asked."""
    named(monkeypatch, ["127.0.0.1"])
    port = receiver.server_address[1]

    answer = post(f"http://receiver.example:{port}/200", b"hi", {}, targets="any")

    assert (answer.status, answer.retry_after, answer.text[:3]) == (200, "7", "xxx")
    assert len(answer.text) <= outbound.MAX_READ_BYTES
    assert Receiver.came == [("/200", f"receiver.example:{port}", b"hi")]


def test_a_redirect_is_an_answer_and_not_a_way(receiver: Any) -> None:
    answer = post(f"http://127.0.0.1:{receiver.server_address[1]}/302", b"", {}, targets="any")

    assert answer.status == 302
    assert [path for path, _, _ in Receiver.came] == ["/302"]


def test_nobody_there_is_told_as_such() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="ConnectError"):
            post(f"http://127.0.0.1:{taken.getsockname()[1]}/", b"", {}, targets="any")


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\n" + 1000 * b"x":
                        connection.sendall(bytes([byte]))
                        stopped.wait(0.1)
                except OSError:
                    return

        from threading import Event

        stopped = Event()
        thread = Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(Unreachable, match="no answer within"):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"", {}, targets="any")
        stopped.set()
        thread.join(timeout=20)


def test_a_name_in_another_alphabet_is_sent_as_dns_spells_it(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, ["127.0.0.1"])
    port = receiver.server_address[1]

    post(f"http://bücher.example:{port}/200", b"", {}, targets="any")

    assert [host for _, host, _ in Receiver.came] == [f"xn--bcher-kva.example:{port}"]
