"""What an upload of many gigabytes costs a gateway: memory, and time against ``sha256sum`` of the same file.

    python benchmarks/service/large_upload.py --gigabytes 5 --repetitions 3 --out benchmarks/results/large_upload.json

One gateway process on SQLite and a local store. The file is a real ``.npz`` of zeros, stored and sparse, so that
reading it costs next to nothing; what the gateway keeps is written in full. Sent by ``sendfile`` over loopback, as the
body of one POST and as one piece of a tus upload. Each repetition runs ``sha256sum``, writes as many bytes to a file,
uploads both ways, one after the other, and deletes what it made. Needs somewhat more than twice the size of the file on
the disk of ``--folder``.
"""

import argparse
import base64
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import zipfile
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from gateways import gateway, prepared

ROOT = Path(__file__).parents[2]
WIDTH = 1 << 20
ZEROS = bytes(WIDTH)
NAME = "zeros.npz"


@dataclass(frozen=True)
class Cost:
    """What moving the bytes took, on the clock and of processors (for uploads: the gateway's)."""

    seconds: float
    cpu_seconds: float


class Sparse(FileIO):
    """A file that leaves a hole where it is given the block of zeros."""

    def write(self, data: Any) -> int:
        if data is ZEROS:
            self.seek(WIDTH, os.SEEK_CUR)
            return WIDTH
        return super().write(data)


def header(array: np.ndarray[Any, Any]) -> bytes:
    """The bytes of a small array as ``.npy``."""
    into = BytesIO()
    np.save(into, array)
    return into.getvalue()


def make(path: Path, num_bytes: int) -> None:
    """Write a data set of about that size, with everything that screening asks for."""
    rows = num_bytes // WIDTH
    labels = np.zeros(rows, "int64")
    head = BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (rows, WIDTH)})
    with zipfile.ZipFile(Sparse(path, "w"), "w") as archive:
        for name, array in {"y_train": labels, "x_test": np.zeros((1, WIDTH), "uint8"), "y_test": labels[:1]}.items():
            archive.writestr(f"{name}.npy", header(array))
        with archive.open("x_train.npy", "w", force_zip64=True) as member:
            member.write(head.getvalue())
            for _ in range(rows):
                member.write(ZEROS)


def send(url: str, head: str, path: Path) -> int:
    """Send a request whose body is a file. Returns the status of the answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=600) as connection, path.open("rb") as file:
        told = f"{head}\r\nHost: {host}\r\nContent-Length: {path.stat().st_size}\r\n\r\n"
        connection.sendall(told.encode())
        connection.sendfile(file)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status


def post(url: str, path: Path) -> None:
    """Upload as one body."""
    status = send(url, f"POST /v1/datasets?name={NAME} HTTP/1.1", path)
    assert status == 201, status


def tus(url: str, path: Path) -> None:
    """Upload as a resumable upload of one piece."""
    metadata = ",".join(
        f"{key} {base64.b64encode(text).decode()}" for key, text in (("kind", b"dataset"), ("name", NAME.encode()))
    )
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(path.stat().st_size), "Upload-Metadata": metadata}
    begun = httpx.post(f"{url}/v1/uploads", headers=headers)
    begun.raise_for_status()
    lines = [
        f"PATCH {begun.headers['location']} HTTP/1.1",
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Type: application/offset+octet-stream",
    ]
    status = send(url, "\r\n".join(lines), path)
    assert status == 204, status


def checksum(path: Path) -> Cost:
    """``sha256sum`` of the file."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(["sha256sum", path], check=True, capture_output=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def upload(how: Any, url: str, process: psutil.Process, path: Path) -> Cost:
    """One upload, deleted again."""
    before, began = process.cpu_times(), time.perf_counter()
    how(url, path)
    seconds, after = time.perf_counter() - began, process.cpu_times()
    [row] = httpx.get(f"{url}/v1/datasets").json()["data"]
    assert row["num_bytes"] == path.stat().st_size
    httpx.delete(f"{url}/v1/datasets/{row['id']}").raise_for_status()
    return Cost(seconds, after.user + after.system - before.user - before.system)


def peak_mib(process: psutil.Process) -> float:
    """The most memory that the process ever had resident, as the kernel remembers it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def summary(costs: list[Cost], sums: list[Cost], num_bytes: int) -> dict[str, Any]:
    """Medians, and those of the ratios to the checksum of the same repetition."""
    ratios = [cost.seconds / other.seconds for cost, other in zip(costs, sums, strict=True)]
    cpu_ratios = [cost.cpu_seconds / other.cpu_seconds for cost, other in zip(costs, sums, strict=True)]
    seconds = statistics.median(cost.seconds for cost in costs)
    return {
        "seconds": [round(cost.seconds, 1) for cost in costs],
        "cpu_seconds": [round(cost.cpu_seconds, 1) for cost in costs],
        "megabytes_per_second": round(num_bytes / seconds / 1e6),
        "times_sha256sum": round(statistics.median(ratios), 2),
        "cpu_times_sha256sum": round(statistics.median(cpu_ratios), 2),
    }


def written(path: Path, num_bytes: int) -> Cost:
    """Writing as many bytes and forcing nothing, the least that keeping them can take."""
    before, began = time.process_time(), time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(num_bytes // WIDTH):
            file.write(ZEROS)
    cost = Cost(time.perf_counter() - began, time.process_time() - before)
    path.unlink()
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description="A large upload: memory of the gateway, and time against sha256sum.")
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    num_bytes = int(options.gigabytes * 1e9)
    folder = Path(tempfile.mkdtemp(prefix="large-upload-", dir=options.folder))
    costs: dict[str, list[Cost]] = {"sha256sum": [], "write": [], "post": [], "tus": []}
    try:
        make(folder / NAME, num_bytes)
        size = (folder / NAME).stat().st_size
        prepared(folder).close()
        with gateway(folder, max_upload_bytes=size + 1) as (url, process):
            httpx.get(f"{url}/v1/datasets").raise_for_status()
            before = peak_mib(process)
            for _ in range(options.repetitions):
                costs["sha256sum"].append(checksum(folder / NAME))
                costs["write"].append(written(folder / "zeros", size))
                for name, how in (("post", post), ("tus", tus)):
                    costs[name].append(upload(how, url, process, folder / NAME))
            peak = peak_mib(process)
    finally:
        shutil.rmtree(folder)
    result = {
        "file_bytes": size,
        "num_repetitions": options.repetitions,
        "gateway_peak_mib": peak,
        "gateway_peak_mib_before": before,
        **{name: summary(found, costs["sha256sum"], size) for name, found in costs.items()},
        "python": platform.python_version(),
        "num_cpus": os.cpu_count(),
        "load_at_the_end": [round(load, 1) for load in os.getloadavg()],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
