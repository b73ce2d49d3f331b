"""What the service costs: a job through it, against the same recipe through ``python -m engine``, in one run.

    python benchmarks/service/service_overhead.py --repetitions 3

Prints JSON. The order alternates, so that a machine that slows down slows both.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.settings import Settings
from secateur.client.api import Secateur
from stack.interrupts import Interrupts
from stack.machine import machine

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mnist"


def through_the_engine(example: Path, spec: Path, out: Path) -> float:
    """Seconds of one run of the command line."""
    began = time.perf_counter()
    arguments = [str(example / "model.keras"), "--data", str(example / "mnist.npz"), "--spec", str(spec)]
    command = [sys.executable, "-m", "engine", "compress", *arguments, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def through_the_service(service: Secateur, example: Path, recipe: dict[str, Any], out: Path) -> float:
    """Seconds from the first byte of the upload to the last byte of the last artifact."""
    began = time.perf_counter()
    ids = {
        "model_id": service.upload_model(example / "model.keras").id,
        "dataset_id": service.upload_dataset(example / "mnist.npz").id,
    }
    job = service.wait(service.submit(recipe | ids, force=True).id)
    if job.state != "succeeded":
        raise SystemExit(f"the job ended {job.state}: {job.failure}")
    for artifact in service.artifacts(job.id):
        service.download(job.id, artifact, out)
    return time.perf_counter() - began


def model_in(folder: Path) -> bytes:
    """The model that came out: both roads must lead to the same one."""
    return (folder / "model.tflite").read_bytes()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--example", type=Path, default=EXAMPLE)
    options = parser.parse_args()
    spec = options.example / "spec.json"
    recipe = json.loads(spec.read_text())
    engine, service_seconds, same = list[float](), list[float](), True
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder, "var"), host="127.0.0.1", port=0)
        with machine(settings, Interrupts()) as running, Secateur(running.url) as service:
            for turn in range(options.repetitions):
                by_engine, by_service = Path(folder, f"engine-{turn}"), Path(folder, f"service-{turn}")
                engine.append(through_the_engine(options.example, spec, by_engine))
                service_seconds.append(through_the_service(service, options.example, recipe, by_service))
                same = same and model_in(by_engine) == model_in(by_service)
    medians = {"engine": statistics.median(engine), "service": statistics.median(service_seconds)}
    result = {
        "benchmark": "service_overhead",
        "repetitions": options.repetitions,
        "engine_seconds": [round(seconds, 2) for seconds in engine],
        "service_seconds": [round(seconds, 2) for seconds in service_seconds],
        "median_engine_seconds": round(medians["engine"], 2),
        "median_service_seconds": round(medians["service"], 2),
        "ratio": round(medians["service"] / medians["engine"], 3),
        "same_model": same,
        "note": "service: upload, checks of the first upload, queue, run, download; engine: the command line alone",
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
