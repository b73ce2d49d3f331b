"""The gateway as a process: says where it is, holds little memory, leaves when told to."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.settings import Settings
from service.__main__ import bind
from tests.backing import Backing, stored
from tests.service.conftest import eventually, model_file, serving
from tests.service.inputs import job

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


class Process:
    """A started gateway, with every line that it has logged."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(json.loads(line))

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def url(self) -> str:
        assert eventually(lambda: bool(self.logged("listening")), within_seconds=20)
        return str(self.logged("listening")[0]["url"])

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it. It may take 20 seconds."""
        self.popen.send_signal(sign)
        self.popen.wait(timeout=20)
        self._reader.join()

    def kill(self) -> None:
        """End it if it still runs, and close what its lines came through."""
        self.popen.kill()
        self.popen.wait()
        self._reader.join()
        assert self.popen.stderr is not None
        self.popen.stderr.close()


@contextmanager
def gateway_process(settings: Settings) -> Iterator[Process]:
    own = {"SECATEUR_PORT": "0", "SECATEUR_LOG_FORMAT": "json"} | settings.environment()
    command = [sys.executable, "-m", "service"]
    process = Process(subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stderr=subprocess.PIPE))
    try:
        yield process
    finally:
        process.kill()


def test_it_takes_a_free_port_and_says_which(backing: Backing, tmp_path: Path) -> None:
    with gateway_process(backing.settings(tmp_path)) as process:
        answer = httpx.get(f"{process.url}/health/live")

        assert answer.status_code == 200
        assert len(process.logged("listening")) == 1


def test_a_request_is_one_log_line_with_its_id(backing: Backing, tmp_path: Path) -> None:
    with gateway_process(backing.settings(tmp_path)) as process:
        httpx.get(f"{process.url}/v1/jobs?limit=1", headers={"X-Request-Id": "mine"})
        process.stop()

    (line,) = process.logged("GET")
    assert (line["path"], line["status"], line["request_id"]) == ("/v1/jobs", 200, "mine")
    assert line["ms"] > 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_soon_although_somebody_waits(sign: signal.Signals, backing: Backing, tmp_path: Path) -> None:
    """A long poll would hold it for a minute. Who waits is answered, and asks the next gateway."""
    settings = backing.settings(tmp_path)
    with serving(settings) as other:
        job_id = job(other)
    with gateway_process(settings) as process:
        url = httpx.URL(process.url)
        with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
            connection.sendall(f"GET /v1/jobs/{job_id}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            httpx.get(f"{process.url}/health/live")  # whoever is answered now came after the one who waits

            process.stop(sign)  # it has a third of the time that the poll takes

            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert process.popen.returncode in (0, -sign)
    assert not [line for line in process.lines if "Traceback" in str(line)]


def test_a_stream_of_events_ends_when_it_leaves(backing: Backing, tmp_path: Path) -> None:
    """Its reader connects to the next gateway, with the number of the last event that it has seen."""
    settings = backing.settings(tmp_path)
    with serving(settings) as other:
        job_id = job(other)
    with gateway_process(settings) as process, httpx.Client(base_url=process.url, timeout=20) as client:
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            lines = answer.iter_lines()
            assert any(line == "id: 1" for line in lines)

            process.stop()

            assert [line for line in lines if line] == []
    assert not [line for line in process.lines if "Traceback" in str(line)]


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = os.environ | {"SECATEUR_PORT": str(taken.getsockname()[1]), "SECATEUR_DATA_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "service"]

        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "SECATEUR_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def zeros(num_bytes: int, start: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
    yield start
    piece = bytes(MIB)
    for _ in range(num_bytes // MIB):
        yield piece
    yield end


def peak_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_a_big_upload_takes_constant_memory(form: bool, backing: Backing, tmp_path: Path) -> None:
    """Otherwise a few uploads at once would end the process, and all others with it."""
    size = 200 * MIB
    head, tail = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.npz"\r\n\r\n', b"\r\n--b--\r\n"
    content = zeros(size, head, tail) if form else zeros(size)
    headers = {"Content-Type": "multipart/form-data; boundary=b"} if form else {}
    settings = backing.settings(tmp_path)
    with gateway_process(settings) as process, httpx.Client(base_url=process.url, timeout=120) as client:
        client.post("/v1/datasets?name=a.npz", content=b"x")  # what only the first upload costs
        observed = psutil.Process(process.popen.pid)
        before = peak_bytes(observed)

        answer = client.post("/v1/datasets?name=a.npz", content=content, headers=headers)

        assert answer.json()["code"] == "archive_unreadable"  # all of it came, and was looked at
        assert peak_bytes(observed) - before < 64 * MIB
        assert not stored(settings)


def test_the_gateway_process_never_loads_numerics(tmp_path: Path) -> None:
    """After real requests, so that imports inside of functions count too."""
    model = tmp_path / "model.keras"
    model.write_bytes(model_file("plain"))
    code = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from infra.settings import Settings
from service.app import create_app
app = create_app(Settings(data_dir=Path(sys.argv[1]).parent / "var"))
app.state.parts.database.migrate()
client = TestClient(app, base_url="http://localhost")
assert client.post("/v1/models?name=a.keras", content=Path(sys.argv[1]).read_bytes()).status_code == 201
assert client.get("/v1/models").status_code == 200
heavy = {"tensorflow", "keras", "numpy", "h5py", "engine", "reporting", "matplotlib", "ai_edge_litert"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""

    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_answers_are_sent_at_once() -> None:
    """Otherwise each waits 40 ms for the client to acknowledge its head, on a connection that is kept."""
    options = []

    async def accept() -> None:
        accepted = asyncio.Event()

        def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            options.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            accepted.set()

        server = await asyncio.start_server(look, sock=bind("127.0.0.1", 0))
        async with server:
            _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.wait_for(accepted.wait(), 5)
            client.close()

    asyncio.run(accept())

    assert options[0] != 0
