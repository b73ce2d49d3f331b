"""What many readers of events cost a gateway: lag, memory, threads, and how soon other requests are answered meanwhile.

    python benchmarks/service/event_readers.py --readers 200 --jobs 50 --seconds 30 \
        --out benchmarks/results/event_readers.json

One gateway process on SQLite. Half of the readers read one job, the others the rest of the jobs. A writer adds events
to every job once a second, as heartbeats do. Every reader must get every event, in order and once.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from gateways import gateway, prepared

from infra.db.database import Database
from infra.jobs import creation, events, lifecycle
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from secateur.protocol.states import JobState
from secateur.specs.spec import CompressSpec

SPEC = CompressSpec.model_validate(
    {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20, "steps": [{"kind": "prune", "sparsity": 0.5}]}
)
PROGRESS = {"step": "prune", "progress": 0.5, "epoch": 3, "epochs": 9, "metrics": {"loss": 0.25, "val_accuracy": 0.97}}


@dataclass
class Reader:
    """What one reader got: numbers of events, and seconds from their writing to their coming."""

    job_id: str
    numbers: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def claimed(database: Database) -> str:
    """A running job. Returns its id."""
    with database.write() as session:
        job = creation.create_job(session, SPEC)
        assert lifecycle.claim(session, job.id, lease_seconds=3600) is not None
        return job.id


def write(database: Database, job_ids: list[str], seconds: float) -> None:
    """Tell of every job once a second; then end them all."""
    entries = [Entry("progress", PROGRESS), Entry("log", {"message": "a layer is done", "logger": "engine"})]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        for job_id in job_ids:
            with database.write() as session:
                lifecycle.renew(session, job_id, 1, steps=[], lease_seconds=3600, entries=entries)
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    for job_id in job_ids:
        with database.write() as session:
            lifecycle.finish(session, job_id, 1, Outcome(JobState.SUCCEEDED), steps=[])


async def read(url: str, reader: Reader) -> None:
    """Read one stream to its end."""
    host, port = url.removeprefix("http://").split(":")
    incoming, outgoing = await asyncio.open_connection(host, int(port))
    head = f"GET /v1/jobs/{reader.job_id}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    outgoing.write(head.encode())
    while not (line := await incoming.readline()).startswith(b"0\r"):  # the last chunk
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            reader.numbers.append(event["number"])
            reader.lags.append((datetime.now(UTC) - datetime.fromisoformat(event["at"])).total_seconds())
        elif not line:
            raise SystemExit("a stream broke off")
    outgoing.close()


async def health(url: str, seconds: list[float], done: asyncio.Event) -> None:
    """Ask a gateway again and again whether it lives, and whether it knows its jobs."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while not done.is_set():
            for path in ("/health/live", "/v1/jobs?limit=5"):
                began = time.perf_counter()
                (await client.get(path)).raise_for_status()
                if path == "/health/live":
                    seconds.append(time.perf_counter() - began)
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.1)


async def measure(url: str, process: psutil.Process, database: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Let all read while somebody writes and somebody asks."""
    quiet: list[float] = []
    busy: list[float] = []
    done = asyncio.Event()
    asking = asyncio.create_task(health(url, quiet, done))
    await asyncio.sleep(5)
    done.set()
    await asking
    before = process.memory_info().rss
    job_ids = [claimed(database) for _ in range(options.jobs)]
    half = options.readers // 2
    readers = [Reader(job_ids[0] if n < half else job_ids[n % len(job_ids)]) for n in range(options.readers)]
    reading = [asyncio.create_task(read(url, reader)) for reader in readers]
    await asyncio.sleep(2)
    writer = threading.Thread(target=write, args=[database, job_ids, options.seconds])
    writer.start()
    done = asyncio.Event()
    asking = asyncio.create_task(health(url, busy, done))
    await asyncio.sleep(options.seconds)
    resident, num_threads, processor = process.memory_info().rss, process.num_threads(), process.cpu_times()
    done.set()
    await asyncio.gather(asking, *reading)
    writer.join()
    live = [lag for reader in readers for number, lag in zip(reader.numbers, reader.lags, strict=True) if number > 2]
    return {
        "every_reader_got_every_event_once": all(
            reader.numbers == list(range(1, last_event(database, reader.job_id) + 1)) for reader in readers
        ),
        "events_delivered": sum(len(reader.numbers) for reader in readers),
        "lag_seconds": spread(live),
        "live_ms_without_readers": spread(quiet, 1000),
        "live_ms_with_readers": spread(busy, 1000),
        "resident_mib_before": round(before / 2**20, 1),
        "resident_mib_with_readers": round(resident / 2**20, 1),
        "num_threads": num_threads,
        "gateway_processor_seconds": round(processor.user + processor.system, 1),
    }


def last_event(database: Database, job_id: str) -> int:
    """The number of the newest event of a job."""
    with database.read() as session:
        return events.event_positions(session, [job_id])[job_id].last


def spread(values: list[float], factor: float = 1.0) -> dict[str, float]:
    """Median, 95th of a hundred, and largest."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered) * factor, 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))] * factor, 3),
        "max": round(ordered[-1] * factor, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Many readers of events on one gateway.")
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = prepared(Path(folder))
        with gateway(Path(folder), requests_per_minute=0) as (url, process):
            result = asyncio.run(measure(url, process, database, options))
        database.close()
    asked = {"readers": options.readers, "jobs": options.jobs, "seconds": options.seconds}
    machine = {"python": platform.python_version(), "num_cpus": os.cpu_count()}
    text = json.dumps(asked | result | machine, indent=1) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
