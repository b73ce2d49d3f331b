"""Damaged model files: whatever the damage, reading ends in an error of the tree that blames the file."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from secateur.errors import RequestError, catalogue
from tests.badfiles import hdf5_file
from tests.engine.importers.old_models import K, L

FEW, MANY = (12, 1), (100, 2)
"""Copies, and the seed of their damage."""


def small_h5(folder: Path) -> Path:
    (folder / "model.h5").write_bytes(hdf5_file())
    return folder / "model.h5"


def small_zip(folder: Path) -> Path:
    K.Sequential([L.Dense(2, input_shape=(3,))]).save(folder / "saved", save_format="tf")
    return Path(shutil.make_archive(str(folder / "model"), "zip", folder / "saved"))


@pytest.mark.parametrize(
    ("count", "seed"), [pytest.param(*FEW, id="few"), pytest.param(*MANY, id="many", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("make", [small_h5, small_zip], ids=lambda make: make.__name__)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    make: Callable[[Path], Path], count: int, seed: int, tmp_path: Path
) -> None:
    """An unforeseen exception would be called our fault, and nobody would look at the file."""
    command = [sys.executable, "-m", "tests.engine.importers.mutants", make(tmp_path), tmp_path, str(count), str(seed)]

    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})

    assert ended.returncode == 0, ended.stderr[-2000:]
    fates = {line.partition(" ")[2]: int(line.partition(" ")[0]) for line in ended.stdout.splitlines()}
    typed = {code for code, error in catalogue().items() if issubclass(error, RequestError)}
    assert sum(fates.values()) == count
    assert set(fates) <= typed | {"read"}
    assert len(fates) > 1
