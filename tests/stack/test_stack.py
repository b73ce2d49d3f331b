"""The whole service on one machine: it starts, heals and stops, and never leaves a process behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from secateur.client.api import Secateur
from secateur.errors import SecateurError
from stack.machine import usable_port
from tests import waiting

pytestmark = pytest.mark.alone


@dataclass
class Running:
    """A stack in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    data_dir: Path

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, word: str) -> psutil.Process | None:
        """The living process of the stack with this word in its command line."""
        for child in self.family():
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
                if word in " ".join(child.cmdline()):
                    return child
        return None

    def is_ready(self) -> bool:
        try:
            with Secateur(f"http://127.0.0.1:{self.port}") as service:
                return service.readiness().status == "ready"
        except SecateurError:
            return False


eventually = partial(waiting.eventually, within_seconds=30.0)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def command(data_dir: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "stack", "up", "--data-dir", str(data_dir), "--port", str(port)]


@contextmanager
def stack(data_dir: Path, *, warm_children: bool = False) -> Iterator[Running]:
    """A stack that has been told to start. At the end of the block nothing of it may be left."""
    port = usable_port("127.0.0.1", 0)
    environment = os.environ | {"SECATEUR_WARM_CHILDREN": str(warm_children)}
    process = subprocess.Popen(
        command(data_dir, port), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    running = Running(process, port, data_dir)
    try:
        yield running
    finally:
        family = running.family() if process.poll() is None else []
        process.kill()
        process.communicate()
        assert eventually(lambda: gone(family), within_seconds=20), "a process outlived its stack"


def test_a_stack_starts_heals_and_stops(tmp_path: Path) -> None:
    """One story, because starting costs seconds: ready, refusing a twin, healed twice, stopped by Ctrl-C."""
    with stack(tmp_path) as running:
        assert eventually(running.is_ready)

        twin = subprocess.run(
            command(tmp_path, usable_port("127.0.0.1", 0)), capture_output=True, text=True, check=False
        )
        assert twin.returncode == 1
        assert "Another service is using" in twin.stderr

        for part in ("--queues checks", "valkey-server"):
            victim = running.part(part)
            assert victim is not None
            victim.kill()
            victim.wait(timeout=20)
            assert eventually(lambda part=part: running.part(part) is not None), part  # type: ignore[misc]
        assert eventually(running.is_ready)

        family = running.family()
        running.process.send_signal(signal.SIGINT)
        output, _ = running.process.communicate(timeout=20)

        assert running.process.returncode == 0
        assert f"http://127.0.0.1:{running.port}" in output
        assert "curl" in output
        assert "worker-checks has died" in output
        assert gone(family)
    assert {log.name for log in (tmp_path / "logs").iterdir()} == {
        *("broker.log", "gateway.log", "worker-checks.log", "worker-jobs.log")
    }


@pytest.mark.parametrize("after_seconds", [0.3, 1.0, 1.9])
def test_ctrl_c_while_it_starts_leaves_nothing(after_seconds: float, tmp_path: Path) -> None:
    """The first thing a newcomer may do is to change their mind."""
    with stack(tmp_path, warm_children=True) as running:
        time.sleep(after_seconds)
        family = running.family()

        running.process.send_signal(signal.SIGINT)
        running.process.wait(timeout=20)

        assert gone(family)
        assert not list(tmp_path.glob("scratch/worker-*"))


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    """Whoever presses it again does not want to wait."""
    with stack(tmp_path) as running:
        assert eventually(running.is_ready)
        family = running.family()

        running.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        running.process.send_signal(signal.SIGINT)
        running.process.wait(timeout=20)

        assert gone(family)


def test_a_killed_stack_takes_its_parts_along(tmp_path: Path) -> None:
    """Otherwise the next start would find the port and the broker's files taken."""
    with stack(tmp_path, warm_children=True) as running:
        assert eventually(running.is_ready)
        family = running.family()
        assert len(family) >= 4

        running.process.kill()
        running.process.wait()

        assert eventually(lambda: gone(family), within_seconds=20)


def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    """The most common reason why it does not start should be the clearest."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = subprocess.run(command(tmp_path, port), capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "logs").exists()


def test_a_part_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """Nobody should have to search for the reason."""
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "appendonlydir").write_text("in the way")

    done = subprocess.run(command(tmp_path, usable_port("127.0.0.1", 0)), capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "The broker ended with code 1 while it was starting" in done.stderr
    assert "appendonly" in done.stderr
