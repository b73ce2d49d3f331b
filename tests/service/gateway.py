"""A gateway that really listens, with the rows and blobs behind it at hand."""

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import func, select

from infra import jobs, uploads
from infra.database import Database, now
from infra.jobs import Outcome, StoredFile
from infra.settings import Settings
from infra.store import Store
from infra.tables import Artifact, Job, Table, Upload
from jobspec.errors import Failure
from jobspec.states import JobState
from service.__main__ import bind
from service.app import create_app
from tests.badfiles import good_npz


@dataclass
class World:
    """A gateway, a client of it, and the moves that a worker would make."""

    settings: Settings
    database: Database
    store: Store
    http: httpx.Client
    port: int

    def connect(self) -> socket.socket:
        """A bare connection to the gateway."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def upload(self, kind: uploads.Kind, content: bytes, *, name: str = "") -> dict[str, Any]:
        """Upload content that is good."""
        name = name or {"model": "m.keras", "dataset": "d.npz"}[kind]
        answer = self.http.post(f"/v1/{kind}s", params={"name": name}, content=content)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def settle(self, upload_id: str, *, summary: dict[str, Any] | None = None, failure: Failure | None = None) -> None:
        """Let the check of an upload end well, or with this failure."""
        state = JobState.SUCCEEDED if failure is None else JobState.FAILED
        with self.database.write() as session:
            check = session.scalars(select(Job).where(Job.upload_id == upload_id, Job.state == JobState.QUEUED)).one()
            assert jobs.claim(session, check.id, lease_seconds=60, now=now()) is not None
            outcome = Outcome(state, failure, summary=summary)
            assert jobs.finish(session, check.id, 1, outcome, steps=jobs.steps_of(check), now=now())

    def start(self, job_id: str) -> int:
        """Let a worker claim a job. Returns the attempt."""
        with self.database.write() as session:
            job = jobs.claim(session, job_id, lease_seconds=60, now=now())
        assert job is not None
        return job.attempt

    def finish(self, job_id: str, files: dict[str, bytes], folder: Path) -> None:
        """Let a worker claim a job and end it with these files."""
        attempt = self.start(job_id)
        stored = []
        for name, content in files.items():
            (folder / name).write_bytes(content)
            media_type = {"json": "application/json", "html": "text/html"}.get(name.rpartition(".")[2], "x/y")
            stored.append(StoredFile(name, media_type, *self.store.put(folder / name)))
        with self.database.write() as session:
            outcome = Outcome(JobState.SUCCEEDED, files=stored)
            assert jobs.finish(session, job_id, attempt, outcome, steps=[], now=now())

    def rows(self, table: type[Upload] | type[Job] | type[Artifact]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def files(self) -> list[str]:
        """Everything that lies in the store, blobs and staging alike."""
        folder = self.settings.data_dir / "store"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def clear(self) -> None:
        """Take away all rows and blobs."""
        with self.database.write() as session:
            for table in reversed(Table.metadata.sorted_tables):
                session.execute(table.delete())
        for name in self.files():
            (self.settings.data_dir / "store" / name).unlink()


@contextmanager
def listening(settings: Settings) -> Iterator[World]:
    """A gateway in a thread on a free port, until the block ends."""
    listener = bind("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    config = uvicorn.Config(create_app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    database = Database(settings.database)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield World(settings, database, Store.from_url(settings.store), client, port)
    finally:
        server.should_exit = True
        thread.join()
        database.close()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def other_npz(number: int) -> bytes:
    """A good data set that differs from those with other numbers: zip archives may end in a comment."""
    data, comment = good_npz(), str(number).encode()
    return data[:-2] + len(comment).to_bytes(2, "little") + comment


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer from a bare connection."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer carries, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.content)
    fields = {"type", "title", "status", "detail", "instance", "code", "errors", "suggestions", "request_id"}
    assert set(problem) == fields
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/errors/{code}")
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    return dict(problem)


def eventually(condition: Any, *, within_seconds: float = 5.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
