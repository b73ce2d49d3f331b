"""What takes long is done before the gateway answers, or in threads: on the event loop it would stop all requests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.backing import Backing

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def record(backing: Backing, broker_server: str, tmp_path: Path) -> Any:
    """What a gateway did at the first request of each kind, in a process that has imported nothing for other tests."""
    settings = backing.settings(tmp_path, broker_url=broker_server, max_body_bytes=1 << 20)
    command = [sys.executable, "-m", "tests.service.first_requests"]

    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings.environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_first_request_of_its_kind_holds_the_event_loop(record: Any) -> None:
    """The first 404 once built the OpenAPI document there for a second, the first form imported 300 modules."""
    assert record == {"documents": [1, 1], "found": {}}
