"""Whatever dies, every accepted job ends once. The long form, ``make chaos``, runs the real engine."""

import sys
from pathlib import Path

import pytest

from tests.backing import Backing
from tests.chaos.storm import storm
from tests.chaos.victims import ROUND
from tests.outages.service import summary_file
from tests.plane import trained_on_the_plane
from tests.workers.fake_engine import MODEL_SUMMARY, SECONDS

pytestmark = [
    pytest.mark.alone,
    pytest.mark.only(
        "embedded", reason="PostgreSQL, S3 and killed processes: tests/outages and tests/e2e/test_resume.py"
    ),
]

NUM_JOBS, NUM_SHOTS = 10, 2 * len(ROUND)
FAKE_ENGINE = (sys.executable, "-m", "tests.workers.fake_engine")


@pytest.mark.timeout(600)
def test_every_job_ends_once_whatever_dies(backing: Backing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children, workers, the gateway and the broker are killed, and the broker is emptied, while jobs run."""
    lines: list[str] = []
    monkeypatch.setenv(MODEL_SUMMARY, str(summary_file(trained_on_the_plane(tmp_path)[0])))
    monkeypatch.setenv("SECATEUR_WARM_CHILDREN", "false")

    result = storm(
        backing.settings(tmp_path / "var", host="127.0.0.1", port=0),
        num_jobs=NUM_JOBS,
        num_shots=NUM_SHOTS,
        seed=1,
        pause_seconds=1.2,
        limit_seconds=500.0,
        say=lines.append,
        worker=FAKE_ENGINE,
        job_labels={SECONDS: "3"},
    )

    log = "\n".join(lines)
    assert not result.faults(NUM_JOBS), log
    assert set(result.killed) == {*ROUND, "emptied"}, log
    assert not list((tmp_path / "var" / "scratch").glob("*/job_*")), "a dead job left its folder"
