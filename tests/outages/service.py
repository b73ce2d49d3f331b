"""One gateway and one worker as processes, as users and operators see them. Nothing starts them again."""

import hashlib
import io
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil

from engine.inspection.inspect import inspect_model
from infra.db.database import Database
from infra.settings import Settings
from secateur.protocol.states import FINAL
from stack.interrupts import Interrupts
from stack.machine import usable_port
from stack.processes import Processes
from tests.plane import trained_on_the_plane
from tests.waiting import eventually
from tests.workers import fake_engine
from tests.workers.fake_engine import MODEL_SUMMARY, UNTIL_CONTINUED

QUICK: Final = {
    "SECATEUR_HEARTBEAT_SECONDS": "0.5",
    "SECATEUR_SWEEP_SECONDS": "1",
    "SECATEUR_WARM_CHILDREN": "false",
}
"""Quick to notice; the number of attempts is the default. Children that wait for jobs would only cost imports."""

REAL, FAKE_ENGINE = "workers", "tests.workers.fake_engine"
"""The modules that workers can be: with the real engine, or with one that costs nothing."""

CHILDREN: Final = {"workers.child", fake_engine.__file__}
"""What the command of a process that runs a job has in it."""

PATIENCE_SECONDS: Final = 90.0
PARTS: Final = ("train", "test")
STEPS: Final = [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}, "reconstruct": False}]
SERVICE_FAULTS: Final = {503: "unavailable", 507: "storage_full"}


@dataclass
class Service:
    """What answers at an address, and the processes behind it."""

    http: httpx.Client
    processes: Processes
    inputs: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    """Jobs that have succeeded."""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request. Whatever is broken, a fault is never the user's, has its name, and says when to come again."""
        answer = self.http.request(method, path, **options)
        if answer.status_code >= 400 and not path.startswith("/health"):
            assert answer.json()["code"] == SERVICE_FAULTS.get(answer.status_code), answer.text
            assert int(answer.headers["Retry-After"]) > 0
        return answer

    def submit(self, **labels: str) -> httpx.Response:
        """Ask for one more job, unlike all before."""
        spec = {"kind": "compress", **self.inputs, "seed": next(self.numbers), "steps": STEPS, "labels": labels}
        return self.ask("POST", "/v1/jobs", json=spec)

    def upload(self) -> httpx.Response:
        """Upload one more data set, unlike all before."""
        content, number = io.BytesIO(), next(self.numbers)
        parts = {f"{axis}_{part}": _filled(axis, number) for axis in "xy" for part in PARTS}
        np.savez(content, **parts)
        return self.ask("POST", "/v1/datasets?name=data.npz", content=content.getvalue())

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.ask("GET", f"/v1/jobs/{job_id}").raise_for_status().json()
        return job

    def begun(self) -> str:
        """A job whose child is at work; the fake engine goes on with it when it has been held up."""
        job_id: str = self.submit(**{UNTIL_CONTINUED: "yes"}).raise_for_status().json()["id"]
        self.until(lambda: any(step["state"] == "running" for step in self.job(job_id)["steps"]))
        return job_id

    def until(self, condition: Callable[[], bool]) -> None:
        assert eventually(condition, within_seconds=PATIENCE_SECONDS), self.logs()

    def succeeds(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job: it is a success, there is one of it, and all that it left is right."""
        self.until(lambda: self.job(job_id)["state"] in FINAL)
        job = self.job(job_id)
        assert job["state"] == "succeeded", job
        events = self.events(job_id)
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        states = [event["body"]["state"] for event in events if event["kind"] == "state"]
        assert Counter(states)["succeeded"] == 1
        assert states[-1] == "succeeded"
        artifacts = self.ask("GET", f"/v1/jobs/{job_id}/artifacts").json()["data"]
        assert {"model.tflite", "report.json"} <= {artifact["name"] for artifact in artifacts}
        for artifact in artifacts:
            content = self.ask("GET", f"/v1/jobs/{job_id}/artifacts/{artifact['name']}").content
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == artifact["digest"]
        self.done.append(job_id)
        return job

    def download(self) -> httpx.Response:
        """A file of a job that was done before, by ``is_whole`` say."""
        return self.ask("GET", f"/v1/jobs/{self.done[0]}/artifacts/model.tflite")

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """All events of a job."""
        found: list[dict[str, Any]] = self.ask("GET", f"/v1/jobs/{job_id}/events?limit=1000").json()["data"]
        return found

    def is_whole(self, submitted: httpx.Response | None = None) -> None:
        """New uploads and jobs, or one that was submitted meanwhile, come to their end, in still the same processes."""
        uploaded = self.upload()
        assert uploaded.status_code == 201, uploaded.text
        submitted = submitted or self.submit()
        assert submitted.status_code == 202, submitted.text
        self.succeeds(submitted.json()["id"])
        self.becomes_ready(uploaded.json()["id"])
        self.until(lambda: self.ask("GET", "/health/ready").status_code == 200)
        self.lives()

    def answers_again(self, path: str) -> None:
        """What was away is asked again after a pause; until then the answer is to come again."""
        self.until(lambda: self.ask("GET", path).status_code == 200)

    def becomes_ready(self, upload_id: str) -> None:
        """The check of an upload passes."""
        self.until(lambda: self.ask("GET", f"/v1/datasets/{upload_id}").json()["state"] != "checking")
        upload = self.ask("GET", f"/v1/datasets/{upload_id}").json()
        assert upload["state"] == "ready", upload

    def lives(self) -> None:
        """No process has ended, and the gateway says so whatever else is broken."""
        self.processes.check()
        assert self.ask("GET", "/health/live").status_code == 200

    def missing(self) -> set[str]:
        """Which parts are missing, as the readiness of the gateway tells it."""
        self.until(lambda: self.ask("GET", "/health/ready").status_code == 503)
        answer = self.ask("GET", "/health/ready")
        return {name for name, said in answer.json()["checks"].items() if said != "ok"}

    def logs(self) -> str:
        """The last that the processes told, without the requests that waited for them."""
        told = ""
        for part in self.processes.parts:
            lines = [line for line in part.log.read_text().splitlines() if " GET " not in line]
            told += "\n".join([f"--- {part.name}", *lines[-40:], ""])
        return told

    def child(self) -> psutil.Process:
        """The process that runs the job that runs."""
        worker = next(part for part in self.processes.parts if part.name == "worker")
        found = [child for child in psutil.Process(worker.process.pid).children() if _runs_jobs(child)]
        assert len(found) == 1, found
        return found[0]

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """The running job gets no further while the block runs, and is done with its work soon after it."""
        child = self.child()
        os.killpg(child.pid, signal.SIGSTOP)  # with the processes that it has started itself
        try:
            yield
        finally:
            os.killpg(child.pid, signal.SIGCONT)
            self.until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


class Reader(threading.Thread):
    """Follows the events of a job until it has ended, as an ``EventSource`` does: cut off, it comes back."""

    def __init__(self, service: Service, job_id: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{service.http.base_url}/v1/jobs/{job_id}/events"
        self.numbers: list[int] = []
        self.start()
        service.until(lambda: bool(self.numbers))

    def run(self) -> None:
        while self._read() != 204:
            time.sleep(0.2)

    def _read(self) -> int:
        last = {"Last-Event-ID": str(self.numbers[-1])} if self.numbers else {}
        headers = {"Accept": "text/event-stream"} | last
        with httpx.stream("GET", self._url, headers=headers, timeout=PATIENCE_SECONDS) as answer:
            for line in answer.iter_lines():
                if line.startswith("id:"):
                    self.numbers.append(int(line.removeprefix("id:")))
            return answer.status_code


@contextmanager
def serving(
    folder: Path, environment: Mapping[str, str], *, logs: Path, worker: str = FAKE_ENGINE
) -> Iterator[Service]:
    """A service with a model and a data set, until the block ends. Ends with it, whatever became of it.

    Args:
        folder: its data folder.
        environment: its settings beside those that make it quick.
        logs: the folder for the logs of its processes.
        worker: the module of its worker, ``REAL`` where the engine is what an outage befalls.
    """
    port = usable_port("127.0.0.1", 0)
    own = {"SECATEUR_DATA_DIR": str(folder), "SECATEUR_HOST": "127.0.0.1", "SECATEUR_PORT": str(port)}
    database = Database(environment.get("SECATEUR_DATABASE_URL") or Settings(data_dir=folder).database)
    database.migrate()
    database.close()
    logs.mkdir(parents=True, exist_ok=True)
    files = trained_on_the_plane(logs)
    own |= {MODEL_SUMMARY: str(summary_file(files[0]))}
    processes = Processes(logs, os.environ | QUICK | own | environment, Interrupts())
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        try:
            processes.start("worker", [sys.executable, "-m", worker, "--queues", "checks,jobs"])
            processes.start("gateway", [sys.executable, "-m", "service"])
            service = Service(http, processes)
            service.until(lambda: _is_ready(service))
            _fill(service, files)
            yield service
        finally:
            processes.stop()


def _is_ready(service: Service) -> bool:
    service.processes.check()
    with suppress(httpx.TransportError):
        return service.ask("GET", "/health/ready").status_code == 200
    return False


def summary_file(model: Path) -> Path:
    """What the check of a model would find, beside it, for the fake engine."""
    file = model.with_suffix(".json")
    file.write_text(inspect_model(model).model_dump_json())
    return file


def _fill(service: Service, files: tuple[Path, Path]) -> None:
    for kind, file in zip(("model", "dataset"), files, strict=True):
        upload = service.ask("POST", f"/v1/{kind}s?name={file.name}", content=file.read_bytes()).json()
        path = f"/v1/{kind}s/{upload['id']}"
        service.until(lambda path=path: service.ask("GET", path).json()["state"] == "ready")  # type: ignore[misc]
        service.inputs[f"{kind}_id"] = upload["id"]


def _filled(axis: str, number: int) -> Any:
    return np.arange(9) % 3 if axis == "y" else np.full((9, 2), number, "float32")


def _runs_jobs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(word in CHILDREN for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    return False


def pause(seconds: float) -> None:
    """Long enough for every loop of the service to meet what is broken."""
    time.sleep(seconds)
