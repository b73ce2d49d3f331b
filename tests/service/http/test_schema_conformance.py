"""The OpenAPI document held against a gateway that runs, by schemathesis with every check that it has.

What it is told besides the document stands in ``schemathesis.toml``, with the reason of each exception.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import Running, Start
from tests.service.inputs import job, pair, succeed
from tests.service.keys import as_, key
from tests.service.monitoring.test_health import see

ROOT = Path(__file__).parents[3]
CONFIG = "tests/service/schemathesis.toml"
FILES = {"report.json": ("application/json", b"{}"), "model.tflite": ("application/vnd.tflite", b"TFL3")}


def things(running: Running) -> dict[str, str]:
    """What the fuzzer cannot make by guessing, as the variables that its configuration names."""
    both, queued, ended = pair(running), job(running), job(running)
    succeed(running, ended, FILES)
    metadata = "kind bW9kZWw=,name YS5rZXJhcw=="
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata}
    with as_(running, "local") as http:
        begun = http.post("/v1/uploads", headers=headers).headers["location"].rpartition("/")[2]
    made = {"MODEL": both.model_id, "DATASET": both.dataset_id, "QUEUED": queued, "ENDED": ended, "BEGUN": begun}
    return made | {"SECATEUR_API_KEY": key(running, "local", ["admin"])}


@pytest.mark.only("servers", reason="once is enough, and PostgreSQL refuses values that SQLite takes")
@pytest.mark.timeout(900)
def test_the_service_does_what_its_document_says(start: Start, broker: str) -> None:
    """Thousands of requests, right ones and wrong ones, and chains of them: never an answer that it does not tell."""
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", CONFIG, "run"]
    with start(requests_per_minute=0, sweep_seconds=600) as running:
        see(running, "one", "checks,jobs")
        running.parts.leaving.set()  # as when it is told to stop: who waits for a job is answered at once
        environment = os.environ | things(running) | {"COLUMNS": "120"}

        done = subprocess.run(
            [*command, f"{running.url}/openapi.json"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    num_operations = sum(map(len, running.app.openapi()["paths"].values()))
    assert done.returncode == 0, done.stdout[-20_000:]
    assert f"Tested: {num_operations}\n" in done.stdout
