"""What became of the process that reads HDF5 files first says whose fault it was."""

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

STORY = """
import os, pathlib, sys
from engine.importers.formats import probe
from secateur.errors import SecateurError

path, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
probe.stand_by(lambda: None)
probe.check(path)
os.kill(probe._standing_by.pid, number)
os.waitid(os.P_PID, probe._standing_by.pid, os.WEXITED | os.WNOWAIT)
for _ in range(2):
    try:
        probe.check(path)
    except SecateurError as error:
        print(error.code)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGKILL, "worker_crashed", id="killed by somebody or for memory"),
        pytest.param(signal.SIGSEGV, "archive_unreadable", id="died of the file"),
    ],
)
def test_a_reader_that_was_killed_is_not_the_files_fault(tmp_path: Path, number: int, code: str) -> None:
    """The reader stands by for a second file after a first; whoever asks later is told the same."""
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = [1.0, 2.0]

    told = subprocess.run([sys.executable, "-c", STORY, str(path), str(int(number))], capture_output=True, text=True)

    assert told.stdout.split() == [code, code], told.stderr
