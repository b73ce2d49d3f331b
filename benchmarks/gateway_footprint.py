"""How fast the gateway starts and how much memory it takes: medians of several fresh processes, as JSON.

    python benchmarks/gateway_footprint.py --runs 7

Start: from the start of the process to its first answer. Memory: resident, after a few hundred requests.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from infra.database import Database
from infra.settings import Settings

ROOT = Path(__file__).parents[1]
PATHS = ("/", "/v1/jobs", "/v1/models", "/v1/schemas/compress", "/openapi.json")


def measure(folder: Path) -> tuple[float, int]:
    """Start one gateway. Returns seconds to its first answer, and resident bytes after work."""
    environment = os.environ | {
        "SECATEUR_DATA_DIR": str(folder),
        "SECATEUR_PORT": "0",
        "SECATEUR_LOG_FORMAT": "json",
        "SECATEUR_LOG_LEVEL": "info",
    }
    start = time.perf_counter()
    command = [sys.executable, "-m", "service"]
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr)
    try:
        while (url := re.search(r'"url": "([^"]+)"', log.read_text())) is None:
            time.sleep(0.005)
        with httpx.Client(base_url=url[1], timeout=30) as client:
            client.get("/health/live").raise_for_status()
            seconds = time.perf_counter() - start
            for _ in range(100):
                for path in PATHS:
                    client.get(path).raise_for_status()
        return seconds, psutil.Process(process.pid).memory_info().rss
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Cold start and memory of the gateway.")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Settings(data_dir=Path(folder)).database)
        database.migrate()
        database.close()
        measured = [measure(Path(folder)) for _ in range(runs)]
    seconds, resident = zip(*measured, strict=True)
    result = {
        "cold_start_seconds": round(statistics.median(seconds), 3),
        "cold_start_seconds_range": [round(min(seconds), 3), round(max(seconds), 3)],
        "resident_mib": round(statistics.median(resident) / 2**20, 1),
        "num_runs": runs,
        "python": platform.python_version(),
        "num_cpus": os.cpu_count(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
