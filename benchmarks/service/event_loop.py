"""How long requests hold the gateway's event loop: every operation, first and again, right and wrong, small and large.

    python benchmarks/service/event_loop.py --repetitions 3 --out benchmarks/results/event_loop.json

While one callback of the loop runs, every other request waits. One gateway process on SQLite; each callback is measured
in CPU time of the loop's thread, which a busy machine does not change, and on the clock, which shows calls that block.
Requests are sent one after another; a request costs what its longest callback takes. The result tells how many modules
were imported while it ran, on the loop or in a thread, and where the longest callback was.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx

ROOT: Final = Path(__file__).parents[2]
NOTED_SECONDS: Final = 0.002
SAMPLE_SECONDS: Final = 0.01
LONG_MS: Final = 50.0
LONG_WALL_MS: Final = 200.0
"""On a busy machine a callback waits for a processor, and for threads that hold the interpreter."""

STREAM_SECONDS: Final = 0.5


def watch(log: IO[str]) -> None:
    """Write a line for each callback of any event loop that takes a while, or imports something."""
    run = asyncio.events.Handle._run
    running: dict[str, Any] = {"since": None, "thread": None, "stacks": []}
    known = set(sys.modules)

    def watched(handle: asyncio.events.Handle) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        running.update(since=began, thread=threading.get_ident(), stacks=[])
        try:
            run(handle)
        finally:
            wall, cpu = time.perf_counter() - began, time.thread_time() - cpu
            running["since"] = None
            modules = sorted(set(sys.modules) - known) if len(sys.modules) != len(known) else []
            known.update(modules)
            if max(wall, cpu) > NOTED_SECONDS or modules:
                line = {"at": began, "wall": wall, "cpu": cpu, "modules": modules, "stacks": running["stacks"]}
                log.write(json.dumps(line) + "\n")

    def sample() -> None:
        while True:
            time.sleep(SAMPLE_SECONDS)
            if (since := running["since"]) is not None and time.perf_counter() - since > SAMPLE_SECONDS:
                frame = sys._current_frames().get(running["thread"])
                calls = traceback.extract_stack(frame)
                running["stacks"].append([f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls])

    asyncio.events.Handle._run = watched  # type: ignore[method-assign]
    threading.Thread(target=sample, daemon=True).start()


def serve(log: Path) -> None:
    """Be the gateway that is measured."""
    with log.open("w", buffering=1) as file:
        watch(file)
        from service.__main__ import main as gateway_main

        gateway_main(["serve"])


@dataclass(frozen=True)
class Sent:
    """A request that was answered, and when it was sent."""

    case: Any
    status: int
    began: float


def send(client: httpx.Client, case: Any) -> Sent:
    """Send a request and read its answer; of a stream, what comes soon."""
    path = case.path.format(**case.prepare()) if case.prepare else case.path
    body: dict[str, Any] = {"json": case.body} if isinstance(case.body, dict | list) else {"content": case.body}
    began, status = time.perf_counter(), 0
    try:
        with client.stream(case.method, path, headers=dict(case.headers), timeout=30, **body) as answer:
            status = answer.status_code
            for _ in answer.iter_raw():
                if "event-stream" in answer.headers["content-type"] and time.perf_counter() > began + STREAM_SECONDS:
                    break
    except httpx.TransportError as fault:  # such as a refusal that closes the connection before the body is sent
        print(f"{case.name}: {fault!r}", file=sys.stderr)
    return Sent(case, status, began)


def measure(repetitions: int) -> dict[str, Any]:
    """Send every request so often. Returns what each kind cost, the worst first."""
    from event_loop_contents import Contents
    from event_loop_requests import cases
    from gateways import gateway

    from tests import valkey

    sent: list[Sent] = []
    with tempfile.TemporaryDirectory() as name, valkey.short_folder() as short, valkey.running(short) as broker:
        contents, log = Contents(Path(name)), Path(name) / "callbacks"
        command = (str(Path(__file__).resolve()), "--gateway", str(log))
        settings = {"broker_url": broker, "requests_per_minute": 0, "sweep_seconds": 600}
        with gateway(Path(name), command=command, **settings) as (url, _), httpx.Client(base_url=url) as client:
            for case in cases(contents, client):
                sent += [send(client, case) for _ in range(repetitions)]
        contents.close()
        callbacks = [json.loads(line) for line in log.read_text().splitlines()]
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    missed = not_asked(document, [one.case for one in sent])
    return {"num_requests": len(sent), "operations_not_asked": missed} | costs(sent, callbacks)


def costs(sent: Sequence[Sent], callbacks: Sequence[Any]) -> dict[str, Any]:
    """What each kind of request cost: a callback belongs to the request that was sent last before it."""
    rows: dict[str, dict[str, Any]] = {}
    ends = [*(one.began for one in sent[1:]), float("inf")]
    for one, end in zip(sent, ends, strict=True):
        mine = [callback for callback in callbacks if one.began <= callback["at"] < end]
        fresh: dict[str, Any] = {"status": one.status, "ms": [], "wall_ms": [], "modules": [], "where": []}
        row = rows.setdefault(one.case.name, fresh)
        row["ms"].append(round(1000 * max((callback["cpu"] for callback in mine), default=0.0), 1))
        row["wall_ms"].append(round(1000 * max((callback["wall"] for callback in mine), default=0.0), 1))
        row["modules"] += [name for callback in mine for name in callback["modules"]]
        stacks = max(mine, key=lambda callback: float(callback["wall"]), default={"stacks": []})["stacks"]
        row["where"] = row["where"] or (stacks[len(stacks) // 2][-12:] if stacks else [])
    ordered = sorted(rows.items(), key=lambda item: -max(item[1]["ms"]))
    return {
        "long": {
            name: row | {"modules": len(row["modules"])}
            for name, row in ordered
            if max(row["ms"]) > LONG_MS or max(row["wall_ms"]) > LONG_WALL_MS
        },
        "num_modules_imported_meanwhile": {name: len(row["modules"]) for name, row in rows.items() if row["modules"]},
        "ms": {name: row["ms"] for name, row in ordered},
    }


def not_asked(document: Mapping[str, Any], sent: Sequence[Any]) -> list[str]:
    """Operations of the OpenAPI document that no case is for."""
    operations = {
        (method.upper(), tuple(path.split("/"))) for path, methods in document["paths"].items() for method in methods
    }
    asked = [(case.method, tuple(case.path.partition("?")[0].split("/"))) for case in sent]
    return [
        f"{method} {'/'.join(parts)}"
        for method, parts in sorted(operations)
        if not any(method == how and fits(parts, where) for how, where in asked)
    ]


def fits(template: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether an address is one of a path with names in braces.

    >>> fits(("v1", "jobs", "{job_id}"), ("v1", "jobs", "job_1")), fits(("v1", "jobs"), ("v1", "models"))
    (True, False)
    """
    return len(template) == len(parts) and all(
        part == word or part.startswith("{") for part, word in zip(template, parts, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How long requests hold the event loop.")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--gateway", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.gateway:
        serve(options.gateway)
        return
    machine = {"python": platform.python_version(), "num_cpus": os.cpu_count()}
    text = json.dumps({"repetitions": options.repetitions} | measure(options.repetitions) | machine, indent=1) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
