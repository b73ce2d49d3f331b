"""``python -m tests``: tests by all cores; then the slowest of them, the time of each folder, and what failed.

``python -m tests`` is what ``make test`` runs: one pass on SQLite and folders, without the tests that are marked
``alone`` (they kill whole services or look at a clock) or ``slow``. ``python -m tests --all`` runs every test, on every
backing, and those marked ``alone`` one after the other. Options of pytest and paths may follow: ``python -m tests -x
tests/infra``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests import budgets, junit
from tests.passes import LATER, TOGETHER, Pass

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

NUM_SLOWEST: Final = 30


def main() -> None:
    """Run the passes, also when one of them fails. Exit with 1 if a test failed, or none was run."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__, allow_abbrev=False)
    parser.add_argument("--all", action="store_true", help="every test, on every backing, also those alone and slow")
    arguments, others = parser.parse_known_args()
    began, is_wrong = time.monotonic(), False
    cases: list[junit.Case] = []
    closing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tests-") as name:
        for one in (TOGETHER, *LATER) if arguments.all else (TOGETHER,):
            code, found = run(one, others, Path(name), every=arguments.all)
            is_fine = code in (0, NOTHING_TO_RUN)
            is_wrong |= not is_fine
            cases += found
            failed = [str(case) for case in found if case.result in ("failed", "error")]
            closing.append(f"{one.name}: {junit.counts(found)}" + ("" if is_fine else f", FAILED with code {code}"))
            closing += [] if is_fine else [f"  FAILED {test}" for test in failed or ["pytest itself"]]
    _say(f"\nThe {NUM_SLOWEST} slowest tests")
    _say("\n".join(f"{case.seconds:9.1f}  {case}" for case in junit.slowest(cases, NUM_SLOWEST)))
    _say("\nTime by folder: seconds of tests, over all processes")
    _say("\n".join(budgets.table(cases, budgets.read("test-all" if arguments.all else "test"))))
    _say("\n" + "\n".join(closing))
    _say(f"{junit.counts(cases)} in {time.monotonic() - began:.2f}s")
    sys.exit(is_wrong or not cases)


def run(one: Pass, others: list[str], folder: Path, *, every: bool) -> tuple[int, list[junit.Case]]:
    """Run one pass.

    Args:
        others: further options of pytest, and paths.
        folder: where the first pass writes down what the later ones run.
        every: whether slow tests are run, and later passes come.

    Returns:
        The exit code of pytest, and the tests that it ran.
    """
    report, chosen = folder / f"{one.key}.xml", folder / f"{one.key}.json"
    if one is TOGETHER:
        lists = [f"--write-lists={folder}"] if every else []
    elif not chosen.exists():
        _say(f"\n{one.name}: not run, because the first pass could not collect the tests")
        return 1, []
    elif chosen.read_text() == "[]":
        return NOTHING_TO_RUN, []
    else:
        lists = [f"--read-list={chosen}"]
    _say(f"\n{one.name}")
    options = one.options(num_workers=min(os.cpu_count() or 1, MOST_WORKERS), slow=every)
    command = [sys.executable, "-m", "pytest", "-q", *options, *lists, f"--junit-xml={report}", *others]
    code = subprocess.run(command, env=os.environ | ONE_THREAD, check=False).returncode
    return code, junit.read(report.read_text()) if report.exists() else []


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
