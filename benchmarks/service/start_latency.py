"""How soon a job runs on an idle worker: from the request that submits it, with and without a child that waits.

    python benchmarks/service/start_latency.py --repetitions 5

``running`` is the state of the row, ``first_step`` the first step that the job's process says it has begun: by then the
engine is imported, the inputs are in its folder, and its rules hold. Prints JSON.
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
STEPS = {"steps": [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}}], "data": {"scale": "1/255"}}
POLL_SECONDS = 0.005
MODES = {"warm": True, "cold": False}


def one_job(service: Secateur, spec: dict[str, object]) -> tuple[float, float]:
    """Seconds until the state was running, and until a step was."""
    began = time.perf_counter()
    job_id = service.submit(spec).id
    running = None
    while True:
        job = service.job(job_id)
        passed = time.perf_counter() - began
        if job.state == "running" and running is None:
            running = passed
        if any(step.state == "running" for step in job.steps):
            service.wait(job_id)
            return running or passed, passed
        if job.state not in ("queued", "running"):
            raise SystemExit(f"the job ended {job.state} before it was seen running: {job.failure}")
        time.sleep(POLL_SECONDS)


def processor_seconds(folder: str) -> float:
    """What all processes with rules for a folder of this service have used so far."""
    used = 0.0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "workers.child" in command and any(folder in argument for argument in command):
                used += sum(process.cpu_times()[:2])
    return used


def wait_until_idle(folder: str, quiet_seconds: float) -> None:
    """Until no child works any more: whoever waits for a job has its imports done."""
    before, since = processor_seconds(folder), time.monotonic()
    while time.monotonic() - since < quiet_seconds:
        time.sleep(0.2)
        now = processor_seconds(folder)
        if now != before:
            before, since = now, time.monotonic()


def measure(warm: bool, repetitions: int, quiet_seconds: float) -> dict[str, object]:
    """All jobs through one fresh service, each when nothing else works there."""
    os.environ["SECATEUR_WARM_CHILDREN"] = str(warm)
    os.environ["SECATEUR_HEARTBEAT_SECONDS"] = "0.05"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder, "var"), host="127.0.0.1", port=0)
        with machine(settings, Interrupts()) as running, Secateur(running.url) as service:
            model, data = service.upload_model(EXAMPLE / "model.keras"), service.upload_dataset(EXAMPLE / "mnist.npz")
            spec = STEPS | {"model_id": model.id, "dataset_id": data.id}
            one_job(service, spec)
            seen = []
            for seed in range(repetitions):
                wait_until_idle(folder, quiet_seconds)
                seen.append(one_job(service, spec | {"seed": seed + 1}))
            sandbox = service.readiness().sandbox
    to_running, to_step = ([round(pair[which], 3) for pair in seen] for which in (0, 1))
    return {
        "warm_children": warm,
        "seconds_to_running": to_running,
        "seconds_to_first_step": to_step,
        "median_to_running": statistics.median(to_running),
        "median_to_first_step": statistics.median(to_step),
        "sandbox": sorted(set(sandbox.values())),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quiet-seconds", type=float, default=3.0)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    options = parser.parse_args()
    runs = [measure(MODES[mode], options.repetitions, options.quiet_seconds) for mode in options.modes]
    note = "steps are written at each heartbeat, here every 50 ms (by default every second)"
    print(json.dumps({"benchmark": "start_latency", "cores": os.cpu_count(), "runs": runs, "note": note}, indent=2))


if __name__ == "__main__":
    main()
