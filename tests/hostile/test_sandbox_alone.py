"""With every static check switched off, the sandbox alone keeps the canaries as they are."""

import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hostile.payloads import SECRET, Canaries, payloads
from workers.sandbox.level import FULL, Sandbox, hand_over
from workers.supervision.process import LOG_NAME, Child, ChildExit


@dataclass
class Range:
    """Canaries, whoever connects to their sockets, and a folder with all payloads."""

    canaries: Canaries
    folder: Path
    callers: list[str] = field(default_factory=list)

    def harm(self, log: str) -> set[str]:
        """What was done to the canaries."""
        done = {path.name for path in self.canaries.folder.glob("pwned-*")}
        done |= {f"connected by {caller}" for caller in self.callers}
        done |= {"read the secret"} if SECRET in log or str(SECRET.encode()) in log else set()
        done |= {"read the environment"} if "environment of" in log else set()
        return done | ({"changed the secret"} if self.canaries.secret.read_text() != SECRET else set())


@pytest.fixture(scope="module")
def shooting_range(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    root = tmp_path_factory.mktemp("range")
    root.chmod(0o711)
    outside, folder = root / "outside", root / "job"
    outside.mkdir()
    outside.chmod(0o777)
    (folder / "out").mkdir(parents=True)
    listeners = {"unix": socket.socket(socket.AF_UNIX), "tcp": socket.socket(socket.AF_INET)}
    listeners["tcp"].bind(("127.0.0.1", 0))
    canaries = Canaries(outside, listeners["tcp"].getsockname()[1])
    listeners["unix"].bind(str(canaries.socket))
    canaries.socket.chmod(0o777)
    canaries.secret.write_text(SECRET)
    canaries.secret.chmod(0o666)
    made = Range(canaries, folder)
    for name, listener in listeners.items():
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, name, made.callers), daemon=True).start()
    for name, content in payloads(canaries, outside).items():
        (folder / name).write_bytes(content)
    yield made
    for listener in listeners.values():
        listener.close()


def _accept(listener: socket.socket, name: str, callers: list[str]) -> None:
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return
        callers.append(name)


def opened(folder: Path, *, confined: bool) -> str:
    """What the worst loader printed about everything in the folder."""
    rules = Sandbox(FULL, file_bytes=1 << 30).confinement(folder, 0) if confined else None
    hand_over(folder, rules)
    command = [sys.executable, "-P", "-s", "-m", "tests.hostile.loader", rules.to_json() if rules else "none"]
    child = Child.spawn(command, folder=folder)
    while not isinstance(child.next_event(10), ChildExit):
        continue
    child.kill()
    return (folder / LOG_NAME).read_text(errors="replace")


def test_nothing_that_a_confined_loader_runs_reaches_a_canary(shooting_range: Range) -> None:
    """Byte code, pickles, operations, links: all run, and none of them does anything to anybody.

    Afterwards the same files are opened without the sandbox: a payload that does not work would prove nothing.
    """
    confined = opened(shooting_range.folder, confined=True)

    assert "all were opened" in confined
    assert shooting_range.harm(confined) == set()
    assert not (shooting_range.folder / "out" / "model.tflite").is_symlink()

    bare = opened(shooting_range.folder, confined=False)

    harm = shooting_range.harm(bare)
    wrote = {name.removeprefix("pwned-") for name in harm if name.startswith("pwned-")}
    assert {"lambda", "nested", "loss", "old-lambda", "old-archive", "pickle", "arrays", "operations"} <= wrote
    assert {"lambda-process", "lambda-shell", "operations-print"} <= wrote
    assert {
        "connected by unix",
        "connected by tcp",
        "read the secret",
        "read the environment",
        "changed the secret",
    } <= harm
    assert (shooting_range.folder / "out" / "model.tflite").is_symlink()
