"""Many small jobs under fire, and what became of them."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx
import pytest

from infra.settings import Settings
from secateur.protocol.states import FINAL
from stack.interrupts import Interrupts
from stack.machine import WORKER, Machine, machine
from tests.chaos.victims import Killer, Kind
from tests.plane import trained_on_the_plane

LOOK_SECONDS: Final = 0.1
SUBMIT_SECONDS: Final = 1.0
"""Mean time between two submissions, so that the gateway dies while it takes some."""
TRANSIENT: Final = frozenset({429, 502, 503, 504})
ENVIRONMENT: Final = {
    "SECATEUR_LEASE_SECONDS": "4",
    "SECATEUR_HEARTBEAT_SECONDS": "0.5",
    "SECATEUR_SWEEP_SECONDS": "1",
    "SECATEUR_MAX_ATTEMPTS": "50",
}
"""Quick to notice what died, and never tired of trying: here no job may fail for having been shot at."""


@dataclass
class Result:
    """What the jobs and the store say when it is over."""

    accepted: int
    states: Counter[str]
    doubles: list[str]
    """Numbers of submissions that became more than one job."""
    wrong: list[str]
    """Artifacts whose bytes are not those of their digest."""
    unfinished_after_seconds: float | None
    killed: dict[Kind, int]
    retried: int
    """Jobs that took more than one attempt."""
    seconds: float
    failures: Counter[str] = field(default_factory=Counter)
    """Why jobs failed."""
    incomplete: list[str] = field(default_factory=list)
    """Succeeded jobs without the files that such a job leaves."""

    def faults(self, num_jobs: int) -> list[str]:
        """Every way in which it went wrong, in words."""
        states = {state: count for state, count in self.states.items() if count}
        found = [
            (self.accepted != num_jobs, f"{self.accepted} of {num_jobs} were accepted"),
            (self.unfinished_after_seconds is not None, f"stuck after {self.unfinished_after_seconds} s: {states}"),
            (states != {"succeeded": num_jobs}, f"states at the end: {states}"),
            (bool(self.doubles), f"submitted once and there twice: {self.doubles}"),
            (bool(self.wrong), f"bytes that are not those of their digest: {self.wrong}"),
            (bool(self.incomplete), f"succeeded without their files: {self.incomplete}"),
        ]
        return [words for wrong, words in found if wrong]


@contextmanager
def under_fire(settings: Settings, *, seed: int, worker: Sequence[str]) -> Iterator[Killer]:
    """A stack with two workers for jobs, and who shoots at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with machine(settings, Interrupts(), worker=worker) as running:
            running.processes.start("worker-jobs-2", [*worker, "--queues", "jobs"])
            yield Killer(running, settings.broker, random.Random(seed))


def storm(
    settings: Settings,
    *,
    num_jobs: int,
    num_shots: int,
    seed: int,
    pause_seconds: float,
    limit_seconds: float,
    say: Callable[[str], None],
    worker: Sequence[str] = WORKER,
    job_labels: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Submit jobs while parts die at drawn times, and wait until all have ended or the time is up.

    Args:
        settings: of the stack; it has its own broker in the data folder.
        num_shots: how often something is killed at most.
        pause_seconds: mean time between two shots. Jobs that take longer than it takes to hit each child get nowhere.
        limit_seconds: after which whatever is not over counts as stuck.
        say: gets a line for each shot and each thing that the stack restarted.
        worker: the command of a worker, without its queues.
        job_labels: further labels of each job, which the fake engine goes by.
    """
    began = time.monotonic()

    def told(line: str) -> None:
        say(f"{time.monotonic() - began:7.1f} s  {line}")

    files = trained_on_the_plane(settings.data_dir.parent)
    with (
        under_fire(settings, seed=seed, worker=worker) as killer,
        httpx.Client(base_url=killer.machine.url, timeout=10) as http,
    ):
        client = _Patient(http, killer.machine, job_labels)
        ids = client.upload(*files)
        fire = _Fire(killer, told, pause_seconds, num_shots)
        client.meanwhile = fire.tick
        accepted = {}
        for number in range(num_jobs):
            fire.watch(killer.draw.uniform(0, 2 * SUBMIT_SECONDS))
            accepted[number] = client.submit(number, ids)
            if number == num_jobs // 2:
                told(killer.empty_broker())
        told(f"{len(accepted)} jobs accepted")
        deadline = began + limit_seconds
        while (states := client.states()) and not _over(states, num_jobs) and time.monotonic() < deadline:
            fire.watch(LOOK_SECONDS)
        fire.cease()
        late = None if _over(states, num_jobs) else limit_seconds
        return _judged(client, killer, accepted=len(accepted), late=late, seconds=time.monotonic() - began)


def _over(states: Counter[str], num_jobs: int) -> bool:
    return sum(count for state, count in states.items() if state in set(FINAL)) >= num_jobs


class _Fire:
    """Shoots when the time has come, and lets the stack restart what fell."""

    def __init__(self, killer: Killer, say: Callable[[str], None], pause_seconds: float, num_shots: int) -> None:
        self._killer, self._say, self._mean, self._left = killer, say, pause_seconds, num_shots
        self._due = time.monotonic() + pause_seconds

    def tick(self) -> None:
        for name in self._killer.machine.restart_dead():
            self._say(f"{name} started again")
        if not self._left or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._killer.draw.expovariate(1 / self._mean)
        if shot := self._killer.strike():
            self._say(shot)
            self._left -= 1

    def watch(self, seconds: float) -> None:
        """Go on so for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(LOOK_SECONDS, left))

    def cease(self) -> None:
        self._left = 0


class _Patient:
    """A client that asks again when the gateway is down, as any client must."""

    def __init__(self, http: httpx.Client, stack: Machine, job_labels: Mapping[str, str]) -> None:
        self._http = http
        self._stack = stack
        self._job_labels = job_labels
        self.meanwhile: Callable[[], object] = stack.restart_dead

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError:
                answer = None
            self.meanwhile()
            if answer is not None and answer.status_code not in TRANSIENT:
                assert answer.status_code < 500, answer.text
                return answer
            time.sleep(LOOK_SECONDS)

    def upload(self, model: Path, dataset: Path) -> dict[str, str]:
        """The ids of a model and its data, checked."""
        ids = {}
        for kind, file in (("model", model), ("dataset", dataset)):
            upload = self.ask("POST", f"/v1/{kind}s?name={file.name}", content=file.read_bytes()).json()
            while (found := self.ask("GET", f"/v1/{kind}s/{upload['id']}").json())["state"] == "checking":
                time.sleep(LOOK_SECONDS)
            assert found["state"] == "ready", found
            ids[f"{kind}_id"] = upload["id"]
        return ids

    def submit(self, number: int, ids: dict[str, str]) -> str:
        """Queue one job, once, however often it takes to be told so."""
        spec = {
            "kind": "compress",
            **ids,
            "seed": number,
            "labels": {**self._job_labels, "storm": str(number)},
            "steps": [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}, "reconstruct": False}],
        }
        answer = self.ask("POST", "/v1/jobs", json=spec, headers={"Idempotency-Key": f"storm-{number}"})
        assert answer.status_code in (200, 202), answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def states(self) -> Counter[str]:
        return Counter(self.ask("GET", "/v1/jobs?limit=1").json()["counts"])

    def jobs(self) -> list[dict[str, Any]]:
        found, cursor = [], ""
        while True:
            page = self.ask("GET", f"/v1/jobs?limit=100{cursor}").json()
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


def _judged(client: _Patient, killer: Killer, *, accepted: int, late: float | None, seconds: float) -> Result:
    jobs = client.jobs()
    submitted = Counter(job["labels"]["storm"] for job in jobs)
    result = Result(
        accepted=accepted,
        states=Counter(job["state"] for job in jobs),
        doubles=sorted(number for number, count in submitted.items() if count > 1),
        wrong=[],
        unfinished_after_seconds=late,
        killed=killer.killed,
        failures=Counter(job["failure"]["detail"] for job in jobs if job["failure"]),
        retried=sum(job["attempt"] > 1 for job in jobs),
        seconds=seconds,
    )
    for job in jobs:
        if job["state"] != "succeeded":
            continue
        artifacts = client.ask("GET", f"/v1/jobs/{job['id']}/artifacts").json()["data"]
        if not {"model.tflite", "model.keras", "report.json"} <= {artifact["name"] for artifact in artifacts}:
            result.incomplete.append(job["id"])
        for artifact in artifacts:
            content = client.ask("GET", f"/v1/jobs/{job['id']}/artifacts/{artifact['name']}").content
            if f"sha256:{sha256(content).hexdigest()}" != artifact["digest"]:
                result.wrong.append(f"{job['id']}/{artifact['name']}")
    return result
