"""A gateway of one's own for a measurement: one process on SQLite and a folder, at a port that is free."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.db.database import Database
from infra.settings import Settings

ROOT = Path(__file__).parents[2]


def prepared(folder: Path) -> Database:
    """The database of a gateway in this folder, with its tables."""
    database = Database(Settings(data_dir=folder, database_url="").database)
    database.migrate()
    return database


@contextmanager
def gateway(
    folder: Path, *, command: Sequence[str] = ("-m", "service"), **settings: object
) -> Iterator[tuple[str, psutil.Process]]:
    """Start a gateway in a folder that is prepared. Yields its address, as soon as it listens, and its process.

    Args:
        command: what Python is given to start it.
        settings: by their names without ``SECATEUR_``, in small letters.
    """
    own = {"data_dir": folder, "port": 0, "log_format": "json", "log_level": "info"} | settings
    environment = os.environ | {f"SECATEUR_{name.upper()}": str(value) for name, value in own.items()}
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stderr=stderr)
    try:
        while (url := re.search(r'"url": "([^"]+)"', log.read_text())) is None:
            if process.poll() is not None:
                raise SystemExit(f"the gateway did not start: {log.read_text()}")
            time.sleep(0.005)
        yield url[1], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
