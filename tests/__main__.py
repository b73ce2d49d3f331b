"""``python -m tests``: every test, on every backing, by all cores; what failed stands at the end.

Tests that start and kill whole services, and those that look at a clock, have the mark ``alone`` and come by
themselves, one after the other. Options of pytest and paths may follow: ``python -m tests -x tests/infra``.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.junit import failed

MOST_WORKERS: Final = 4
"""More would want more memory than a laptop has: each of them holds TensorFlow, and starts services that do too."""

ONE_THREAD: Final = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""As many processes compute as there are cores: threads would only get in each other's way."""

NOTHING_TO_RUN: Final = 5
"""The exit code of pytest when it was given options that leave no test."""


def passes(num_workers: int) -> dict[str, list[str]]:
    """The options of pytest for each pass, by its name."""
    together = ["-m", "not alone", "-n", str(num_workers), "--dist", "loadfile"]
    servers = ["--backing", "servers"]
    return {
        "SQLite and folders": together,
        "SQLite and folders, alone": ["-m", "alone"],
        "PostgreSQL and S3": [*together, *servers],
        "PostgreSQL and S3, alone": ["-m", "alone", *servers],
    }


def main() -> None:
    """Run all passes, also when one of them fails."""
    num_workers = min(os.cpu_count() or 1, MOST_WORKERS)
    lines, is_wrong = [], False
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        for number, (name, options) in enumerate(passes(num_workers).items()):
            report, began = Path(folder, f"{number}.xml"), time.monotonic()
            _say(f"\n{name}")
            command = [sys.executable, "-m", "pytest", "-q", *options, f"--junit-xml={report}", *sys.argv[1:]]
            code = subprocess.run(command, env=os.environ | ONE_THREAD, check=False).returncode
            is_fine = code in (0, NOTHING_TO_RUN)
            is_wrong |= not is_fine
            lines.append(f"{name}: {'passed' if is_fine else 'FAILED'} in {time.monotonic() - began:.0f} s")
            names = failed(report.read_text()) if report.exists() else []
            lines += [] if is_fine else [f"  FAILED {test}" for test in names or ["pytest itself"]]
    _say("\n" + "\n".join(lines))
    sys.exit(is_wrong)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
