"""How soon a job that trains is stopped: from the request that cancels it, through HTTP, worker and child.

    python benchmarks/service/cancel_latency.py --repetitions 10

``process_gone`` is when no process works in the job's folder any more, ``told`` when its state is ``cancelled``: by
then its folder is gone too. Each job is cancelled when it has trained for two epochs. Prints JSON.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from infra.settings import Settings
from secateur.client.api import Secateur
from stack.interrupts import Interrupts
from stack.machine import machine

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mnist"
SPEC = {"steps": [{"kind": "finetune", "epochs": 1000}], "data": {"scale": "1/255"}}
POLL_SECONDS = 0.005


def in_training(service: Secateur, job_id: str) -> bool:
    """Whether the job has trained for two epochs."""
    job = service.job(job_id)
    if job.state not in ("queued", "running"):
        raise SystemExit(f"the job ended {job.state} before it could be cancelled: {job.failure}")
    return (job.steps[1].epoch or 0) >= 2


def workers_in(scratch: Path) -> list[psutil.Process]:
    """The processes of the child that has a job: whoever waits for one has no data in its folder."""
    [folder] = {path.parent for path in scratch.glob("worker-*/child-*/data.npz")}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in argument for argument in process.cmdline()):
                found.append(process)
    return found


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; who started it may not have looked yet."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def one_job(service: Secateur, spec: dict[str, object], scratch: Path) -> tuple[float, float]:
    """Seconds from the request until its process was gone, and until its state told so."""
    job_id = service.submit(spec).id
    while not in_training(service, job_id):
        time.sleep(0.1)
    processes, gone, began = workers_in(scratch), None, time.perf_counter()
    if not processes:
        raise SystemExit("no process was found that runs the job")
    service.cancel(job_id)
    while True:
        if gone is None and all(map(is_gone, processes)):
            gone = time.perf_counter() - began
        if service.job(job_id).state == "cancelled":
            told = time.perf_counter() - began
            return gone or told, told
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Cancel some jobs of one fresh service with the defaults of its settings, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder, "var"), host="127.0.0.1", port=0)
        with machine(settings, Interrupts()) as running, Secateur(running.url) as service:
            model, data = service.upload_model(EXAMPLE / "model.keras"), service.upload_dataset(EXAMPLE / "mnist.npz")
            spec = SPEC | {"model_id": model.id, "dataset_id": data.id}
            service.wait_ready("model", model.id)
            service.wait_ready("dataset", data.id)
            seen = [one_job(service, spec | {"seed": seed}, settings.scratch) for seed in range(options.repetitions)]
    gone, told = ([round(pair[which], 3) for pair in seen] for which in (0, 1))
    result = {
        "benchmark": "cancel_latency",
        "cores": os.cpu_count(),
        "heartbeat_seconds": settings.heartbeat_seconds,
        "seconds_to_process_gone": gone,
        "seconds_to_told": told,
        "median_to_process_gone": statistics.median(gone),
        "median_to_told": statistics.median(told),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
