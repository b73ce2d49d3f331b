"""Starts the processes of a stack, restarts those that die, and stops them. None outlives this process.

Each part has a session of its own, so that Ctrl-C in the terminal reaches only this process, and parts stop in order.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra import private_files
from infra.backoff import Backoff
from stack.faults import StackError
from stack.interrupts import Interrupts
from workers.supervision import launch
from workers.supervision.process import tail

GRACE_SECONDS = 25.0
STEADY_SECONDS = 60.0
"""After this time the back-off of a part begins again with its first pause."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0


@dataclass
class Part:
    """One process that should be running."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path
    started_at: float
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
    due_at: float | None = field(default=None)


class Processes:
    """The processes of a stack. Not thread-safe: a process ends with the thread that started it."""

    def __init__(self, logs: Path, environment: Mapping[str, str], interrupts: Interrupts) -> None:
        private_files.make_folder(logs)
        self._logs = logs
        self._environment = dict(environment)
        self._interrupts = interrupts
        self.parts: list[Part] = []

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a part."""
        log = self._logs / f"{name}.log"
        with (
            self._interrupts.held()
        ):  # an interrupt between start and append would leave a process that is never stopped
            self.parts.append(Part(name, command, self._spawn(command, log), log, time.monotonic()))

    def check(self) -> None:
        """Raise ``StackError`` if a part has ended. Call it while the stack starts."""
        for part in self.parts:
            if part.process.poll() is not None:
                raise StackError(
                    f"The {part.name} ended with code {part.process.returncode} while it was starting.",
                    f"Its log is {part.log}.",
                    tail(part.log),
                )

    def restart_dead(self) -> list[str]:
        """Restart parts that have died, each after the pause of its back-off.

        Return the names of the restarted parts.
        """
        restarted = []
        for part in self.parts:
            if part.process.poll() is None:
                continue
            now = time.monotonic()
            if part.due_at is None:
                if now - part.started_at > STEADY_SECONDS:
                    part.backoff.reset()
                part.due_at = now + part.backoff.next_pause_seconds()
            elif now >= part.due_at:
                with self._interrupts.held():
                    part.process = self._spawn(part.command, part.log)
                part.started_at, part.due_at = now, None
                restarted.append(part.name)
        return restarted

    def stop(self) -> None:
        """Stop all parts, the newest first. Kill a part if it takes too long, or if another signal arrives."""
        before = self._interrupts.count
        while self.parts:
            part = self.parts[-1]
            _signal(part.process, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while not _has_exited(part.process) and time.monotonic() < deadline and self._interrupts.count == before:
                time.sleep(0.02)
            _signal(part.process, signal.SIGKILL)
            part.process.wait()
            self.parts.pop()

    def _spawn(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                launch.wrap(command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has exited, without reaping it, so that its process id is not reused."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the process group of a part, unless the part was reaped and its process id may be reused."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
