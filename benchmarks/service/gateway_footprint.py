"""How fast the gateway starts and how much memory it takes: medians of several fresh processes, as JSON.

    python benchmarks/service/gateway_footprint.py --runs 7

Start: from the start of the process to its first answer. Memory: resident, after a few hundred requests.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from gateways import gateway, prepared

PATHS = ("/", "/v1/jobs", "/v1/models", "/v1/schemas/compress", "/openapi.json")


def measure(folder: Path) -> tuple[float, int]:
    """Start one gateway. Returns seconds to its first answer, and resident bytes after work."""
    start = time.perf_counter()
    with gateway(folder) as (url, process), httpx.Client(base_url=url, timeout=30) as client:
        client.get("/health/live").raise_for_status()
        seconds = time.perf_counter() - start
        for _ in range(100):
            for path in PATHS:
                client.get(path).raise_for_status()
        return seconds, process.memory_info().rss


def main() -> None:
    parser = argparse.ArgumentParser(description="Cold start and memory of the gateway.")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        prepared(Path(folder)).close()
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
