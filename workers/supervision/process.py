"""A child process that runs one job. It starts with a clean environment, and ends with all processes that it started.

Whatever the child does (it dies, floods, lies, hangs, starts processes), the caller gets a value.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from secateur.protocol.progress import EVENT, Event
from secateur.protocol.work import WorkKind, WorkMessage
from workers.sandbox.confinement import Confinement
from workers.supervision import launch

LINE_BYTES = 4 << 20
"""The longest event that is read. ``secateur.report_limits`` keeps every event shorter; a longer one breaks the
protocol."""

LOG_NAME = "child.log"
MAX_LOG_BYTES = 64 << 20
"""Most bytes that a child may print. More would fill the disk."""

TAIL_BYTES = 2000
PASSED_ON = (
    "PATH",
    "LANG",
    "CUDA_VISIBLE_DEVICES",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_CHUNK_BYTES = 1 << 16
_POLL_SECONDS = 0.1
_CLOSED_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class ChildExit:
    """How a child ended without a result. ``broke_protocol``: the supervisor ended it because it broke the protocol."""

    how: str
    log_tail: str = ""
    broke_protocol: bool = False


def child_command(kinds: Sequence[WorkKind], confinement: Confinement | None) -> list[str]:
    """Return the command that runs a job of one of these kinds. ``-P``: modules in its folder must not be imported."""
    rules = "none" if confinement is None else confinement.to_json()
    return [sys.executable, "-P", "-s", "-m", "workers.child", ",".join(kinds), rules]


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a child. It contains no address and no secret of the broker, the database or the store.

    TensorFlow uses oneDNN on every CPU, unless the operator sets it otherwise. Its own default requires AVX-512.
    """
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    packages = str(Path(__file__).resolve().parents[2])
    return (
        {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1", "LANG": "C.UTF-8"}
        | kept
        | {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": packages,
        }
    )


class Child:
    """One running child. Not thread-safe: one thread starts it, reads its events and ends it."""

    def __init__(self, process: subprocess.Popen[bytes], events: int, log: IO[bytes]) -> None:
        assert process.stdin is not None
        self._process = process
        self._events = events
        self._stdin = process.stdin.fileno()
        self._log = log
        self._lines: deque[bytes] = deque()
        self._partial = b""
        self._unsent = memoryview(b"")
        self._closed_at: float | None = None
        self._gone = False

    @classmethod
    def spawn(cls, command: Sequence[str], *, folder: Path, memory_bytes: int | None = None) -> "Child":
        """Start a child in its own session, folder and environment. Its last argument is the pipe for its events.

        Raises:
            OSError: the system can start no more processes.
        """
        reading, writing = os.pipe()
        try:
            log = (folder / LOG_NAME).open("w+b")
            process = subprocess.Popen(
                launch.wrap([*command, str(writing)], memory_bytes=memory_bytes),
                cwd=folder,
                env=clean_environment(folder),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
                start_new_session=True,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        child = cls(process, reading, log)
        os.set_blocking(reading, False)
        os.set_blocking(child._stdin, False)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    def assign(self, order: WorkMessage) -> None:
        """Assign the job. ``next_event`` sends it, so a child that does not read blocks no thread."""
        self._unsent = memoryview(order.model_dump_json().encode() + b"\n")

    def has_event(self) -> bool:
        """Return whether an event waits to be read."""
        return bool(self._lines) or bool(select.select([self._events], [], [], 0)[0])

    def next_event(self, timeout_seconds: float) -> Event | ChildExit | None:
        """Return the next event, or how the child ended without a result; None if nothing came in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self._lines:
                return self._parse(self._lines.popleft())
            if len(self._partial) > LINE_BYTES:
                return self._exit(f"sent more than {LINE_BYTES} bytes without ending the line", broke_protocol=True)
            if os.fstat(self._log.fileno()).st_size > MAX_LOG_BYTES:
                return self._exit(f"printed more than {MAX_LOG_BYTES} bytes", broke_protocol=True)
            left = deadline - time.monotonic()
            if self._closed_at is None:
                exited = self.has_exited()  # checked before reading, so that the last events are not lost
                received = self._pump(0.0 if exited else min(max(left, 0.0), _POLL_SECONDS))
                if exited and not received:
                    return self._exit(self.exit_reason())
            elif self.has_exited():
                return self._exit(self.exit_reason())
            elif time.monotonic() > self._closed_at + _CLOSED_GRACE_SECONDS:
                return self._exit("closed its pipe and did not exit", broke_protocol=True)
            else:
                time.sleep(min(max(left, 0.0), 0.01))
            if left <= 0 and not self._lines:
                return None

    def kill(self, *, grace_seconds: float = 1.0) -> None:
        """End the child and its process group, with SIGTERM and then SIGKILL. May be called twice."""
        if self._gone:
            return
        self._gone = True
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while not self.has_exited() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._signal(signal.SIGKILL)  # before it is reaped: until then its process id is not reused
        self._process.wait()
        os.close(self._events)
        self._log.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def has_exited(self) -> bool:
        """Return whether the child has exited, without reaping it."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def exit_reason(self) -> str:
        """Return how the child ended, for people. Call it after the child has exited."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        if ended.si_code == os.CLD_EXITED:
            return f"exited with code {ended.si_status} and without a result"
        name = signal.Signals(ended.si_status).name
        hint = ", as the system does when memory runs out" if ended.si_status == signal.SIGKILL else ""
        return f"was killed by {name}{hint}"

    def _pump(self, timeout_seconds: float) -> bool:
        """Send what is unsent, read what has come. Returns whether anything was read."""
        readable, writable, _ = select.select(
            [self._events], [self._stdin] if self._unsent else [], [], timeout_seconds
        )
        if writable:
            self._send()
        return bool(readable) and self._receive()

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin, self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = memoryview(b"")  # the child is ending; the next look says how

    def _receive(self) -> bool:
        try:
            chunk = os.read(self._events, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._closed_at = time.monotonic()
            return False
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        self._lines.extend(lines)
        return True

    def _parse(self, line: bytes) -> Event | ChildExit:
        try:
            return EVENT.validate_json(line)
        except ValidationError as fault:
            kinds = ", ".join(sorted({error["type"] for error in fault.errors()}))
            return self._exit(f"sent an invalid event ({kinds})", broke_protocol=True)

    def _exit(self, how: str, *, broke_protocol: bool = False) -> ChildExit:
        return ChildExit(how, log_tail=_end_of(self._log), broke_protocol=broke_protocol)


def _end_of(log: IO[bytes]) -> str:
    """Return the end of a log through its open file: the child may have replaced or linked the file of that name."""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace")


def tail(log: Path) -> str:
    """Return the end of a log file as text; empty if it cannot be read. Not for files that a child can replace."""
    try:
        with log.open("rb") as file:
            return _end_of(file)
    except OSError:
        return ""
