"""Events as lines that a person reads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from secateur.errors import TrainingDiverged
from secateur.protocol.events import EventKind, JobEvent
from secateur.text.events import line, words

FAILURE = TrainingDiverged("The loss became nan.").failure("finetune").model_dump(mode="json")
SAID: dict[str, tuple[EventKind, dict[str, Any], str]] = {
    "a state": ("state", {"state": "running"}, "running"),
    "why a job waits again": (
        "state",
        {"state": "queued", "why": "child_died", "detail": "Its process was killed by SIGKILL."},
        "queued: child_died: Its process was killed by SIGKILL.",
    ),
    "a failure": ("state", {"state": "failed", "failure": FAILURE}, "failed: The loss became nan."),
    "a step that begins": ("step", {"step": "prune", "state": "running"}, "prune running"),
    "a step that ended": (
        "step",
        {"step": "prune", "state": "succeeded", "seconds": 2.04, "message": "half is gone"},
        "prune succeeded after 2.0 s: half is gone",
    ),
    "progress without epochs": ("progress", {"step": "measure", "progress": 0.5}, "measure 50 %"),
    "a log line": ("log", {"message": "hello", "logger": "engine"}, "engine: hello"),
    "trials": ("trial", {"num_trials": 9}, "9 trials queued"),
    "a trial": ("trial", {"job_id": "job_1", "position": 2, "state": "failed"}, "trial job_1 failed"),
}


@pytest.mark.parametrize(("kind", "body", "expected"), SAID.values(), ids=SAID)
def test_an_event_is_told_in_words(kind: EventKind, body: dict[str, Any], expected: str) -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    event = JobEvent(number=1, attempt=2, at=at, kind=kind, level="error", body=body)

    assert words(event) == expected
    assert line(event).plain == f"2030-01-02 03:04:05 #2 {expected}"
