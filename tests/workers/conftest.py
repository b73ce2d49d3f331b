"""A worker's surroundings for tests: a real database, a real store, real processes; only the engine is a stand-in."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.broker import Publisher, celery_app
from infra.db.database import Database, now
from infra.db.tables import Artifact, Job, Upload
from infra.jobs import creation, queries
from infra.settings import Settings
from infra.storage.store import Store
from infra.uploads import uploads
from secateur.errors import Unavailable
from secateur.protocol.states import UploadState
from secateur.specs.kinds import SPECS
from secateur.specs.reading import Reading
from stack.broker import broker_command, broker_url, socket_for
from tests import waiting
from tests.backing import Backing
from workers.supervision.assignments import CheckTime
from workers.supervision.attempt import WorkerContext
from workers.supervision.checkpoints import CheckpointPolicy
from workers.supervision.children import Children
from workers.supervision.claims import Claims
from workers.supervision.supervisor import Supervisor

FAKE_CHILD = Path(__file__).with_name("fake_child.py")
CHECK_TIME = CheckTime()


def fake(behaviour: str) -> list[str]:
    """The command of a child that behaves like this."""
    return [sys.executable, str(FAKE_CHILD), behaviour]


eventually = partial(waiting.eventually, within_seconds=30.0)


@dataclass
class Bench:
    """One worker's world, with the moves that tests make in it."""

    database: Database
    store: Store
    settings: Settings
    scratch: Path
    draining: threading.Event = field(default_factory=threading.Event)

    def supervisor(self, behaviour: str, *, check_time: CheckTime = CHECK_TIME) -> Supervisor:
        children = Children(self.scratch, command=lambda kinds, rules: fake(behaviour))
        context = WorkerContext(
            self.database,
            self.store,
            self.draining,
            children,
            keeping=CheckpointPolicy(every_seconds=0.0),
            check_time=check_time,
        )
        claims = Claims(self.database, self.settings)
        return Supervisor(context, Publisher(celery_app(self.settings.broker)), self.settings, claims)

    def upload(self, kind: uploads.Kind, content: bytes) -> tuple[str, str]:
        """Store an upload. Returns its id and that of its check."""
        path = self.scratch.parent / "upload"
        path.write_bytes(content)
        digest, size = self.store.put(path)
        name, format = {"model": ("model.keras", "keras"), "dataset": ("data.npz", "npz")}[kind]
        with self.database.write() as session:
            upload, check = uploads.register(
                session, kind, digest=digest, num_bytes=size, name=name, format=format, reading=Reading(), now=now()
            )
        assert check is not None
        return upload.id, check.id

    def compress(self, **limits: int) -> str:
        """Accept a compress job on two ready uploads. Returns its id."""
        return self.submit(self.inputs(), steps=[{"kind": "prune", "sparsity": 0.5}], limits=limits)

    def inputs(self) -> dict[str, str]:
        """A model and a data set, both ready, as the ids of a spec."""
        model, _ = self.upload("model", b"model bytes;")
        dataset, _ = self.upload("dataset", b"dataset bytes")
        with self.database.write() as session:
            for upload in session.query(Upload):
                upload.state = UploadState.READY
        return {"model_id": model, "dataset_id": dataset}

    def submit(self, inputs: Mapping[str, str], *, kind: str = "compress", **fields: Any) -> str:
        """Accept a job on these inputs. Returns its id."""
        spec = SPECS[kind].model_validate({"kind": kind, **inputs, **fields})
        with self.database.write() as session:
            return creation.create_job(session, spec, now=now()).id

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            job = queries.get(session, job_id)
        assert job is not None
        return job

    def find_upload(self, kind: uploads.Kind, upload_id: str) -> Upload:
        with self.database.read() as session:
            upload = uploads.get(session, kind, upload_id)
        assert upload is not None
        return upload

    def artifacts(self, job_id: str) -> list[Artifact]:
        with self.database.read() as session:
            return list(queries.artifacts(session, job_id))

    def has_blob(self, content: bytes) -> bool:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return any(blob.digest == digest for blob in self.store.blobs())

    def start(self, behaviour: str, job_id: str) -> threading.Thread:
        """Run a job in a thread, as Celery would."""
        thread = threading.Thread(target=self.supervisor(behaviour).run, args=[job_id])
        thread.start()
        assert eventually(lambda: any(step["state"] == "running" for step in self.job(job_id).steps))
        return thread


@pytest.fixture
def bench(tmp_path: Path, backing: Backing) -> Iterator[Bench]:
    """A fresh world. At its end no process and no working folder may be left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = backing.settings(
        tmp_path,
        scratch_dir=scratch,
        heartbeat_seconds=0.05,
        lease_seconds=5,
        max_attempts=2,
        broker_url=f"redis+socket://{tmp_path}/no-broker.sock",
    )
    database = Database(settings.database)
    yield Bench(database, Store.from_url(settings.store), settings, scratch)
    database.close()
    assert list(scratch.iterdir()) == [], "a working folder was left behind"
    assert eventually(lambda: not living_in(scratch), within_seconds=20), "a process was left behind"


def living_in(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder, whoever their parent is by now: orphans do not show among our children."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and _is_of(process, str(folder)):
                found.append(process)
    return found


def _is_of(process: psutil.Process, folder: str) -> bool:
    """By its rules, which name its folder, or by where it is: a confined process may hide that even from root."""
    return any(folder in argument for argument in process.cmdline()) or process.cwd().startswith(folder)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A real broker of this test alone. Yields its URL."""
    with socket_for(tmp_path / "broker") as socket:
        process = subprocess.Popen(broker_command(socket, tmp_path / "broker"), stdout=subprocess.DEVNULL)
        try:
            assert eventually(lambda: answers(broker_url(socket)))
            yield broker_url(socket)
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    """Whether a broker is there."""
    with suppress(Unavailable):
        Publisher(celery_app(url)).ping()
        return True
    return False
