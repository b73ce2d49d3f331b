"""``secateur keys`` as somebody at a terminal uses it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
KEY: dict[str, Any] = {
    "id": "key_7ec98219e07eaa8a6d5c",
    "prefix": "140dc1b58f00",
    "name": "a name that takes all the room that a narrow terminal has",
    "owner": "vision",
    "scopes": ["read", "write"],
    "created_at": "2026-11-21T17:00:00Z",
}


@pytest.fixture
def service() -> Iterator[str]:
    """A service that has one key, and shows the text of each that is made."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"data": [KEY], "next_cursor": None})

        def do_POST(self) -> None:
            assert self.headers["Authorization"] == "Bearer sk_admin"
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(KEY | {"key": "sk_140dc1b58f00_secret"})

        def _answer(self, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def secateur(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "secateur.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, env={"COLUMNS": "80"})


def test_a_new_key_is_alone_on_standard_output(service: str) -> None:
    """So that a script can keep it: KEY=$(secateur keys create ...)."""
    done = secateur("keys", "create", "ci", "--owner", "vision", "--url", service, "--api-key", "sk_admin")

    assert done.stdout == "sk_140dc1b58f00_secret\n"
    assert "keep the text" in done.stderr


def test_ids_are_listed_whole_also_where_it_is_narrow(service: str) -> None:
    """They are what ``rotate`` and ``revoke`` take."""
    assert KEY["id"] in secateur("keys", "list", "--url", service).stdout
