"""Stands in for the engine where whole services are under test: a compress job that needs no TensorFlow.

``python -m tests.workers.fake_engine --queues jobs`` is a worker that runs compress jobs by it, and checks of models
where ``FAKE_MODEL_SUMMARY`` names a file with what they find. The real child runs everything else. As the program of a
child it imports only the standard library. A job's labels say how it behaves.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

STEPS: Final = ("baseline", "prune", "measure")
FILES: Final = {
    "model.tflite": "application/vnd.tflite",
    "model.keras": "application/zip",
    "report.json": "application/json",
}
UNTIL_CONTINUED: Final = "until_continued"
"""A job with this label waits in its first step until its process has been stopped and continued."""
SECONDS: Final = "seconds"
"""How long a job takes that has this label; without it, no time at all."""
MODEL_SUMMARY: Final = "FAKE_MODEL_SUMMARY"
"""The variable of a worker's environment with the file that is the summary of every model."""


def main(summary: str, pipe: int) -> None:
    """Run one job, as a child does."""

    def say(**event: Any) -> None:
        os.write(pipe, json.dumps(event).encode() + b"\n")

    continued = threading.Event()
    signal.signal(signal.SIGCONT, lambda *_: continued.set())
    say(event="ready")
    assignment = json.loads(sys.stdin.readline())["assignment"]
    if assignment["kind"] == "check_model":
        Path("summary.json").write_bytes(Path(summary).read_bytes())
        say(event="succeeded")
        return
    labels = assignment["spec"]["labels"]
    for step in STEPS:
        say(event="step_started", step=step)
        if UNTIL_CONTINUED in labels:
            continued.wait()
        time.sleep(float(labels.get(SECONDS, "0")) / len(STEPS))
        say(event="step_finished", step=step, seconds=0.5)
    for name in FILES:
        Path(assignment["out"], name).write_text(f"{name} of the job with seed {assignment['spec']['seed']}")
    say(event="succeeded", files=[{"name": name, "media_type": type} for name, type in FILES.items()])


def serve(arguments: Sequence[str]) -> None:
    """Be a worker whose compress jobs, and checks of models where their summary is given, are run by this program."""
    from secateur.protocol.work import WorkKind
    from workers.__main__ import main as work
    from workers.sandbox.confinement import Confinement
    from workers.supervision.process import child_command

    summary = os.environ.get(MODEL_SUMMARY, "")
    faked = {"compress", "check_model"} if summary else {"compress"}

    def command(kinds: Sequence[WorkKind], rules: Confinement | None) -> list[str]:
        return [sys.executable, __file__, summary] if faked.issuperset(kinds) else child_command(kinds, rules)

    work(arguments, command=command)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2].isdigit():
        main(sys.argv[1], int(sys.argv[2]))
    else:
        serve(sys.argv[1:])
