"""What a child may see and use, and that nothing of it stays, whoever dies first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from secateur.protocol.progress import Ready
from tests.workers.conftest import eventually, fake
from workers.supervision import launch
from workers.supervision.process import LOG_NAME, PASSED_ON, Child, ChildExit, clean_environment


def next_one(child: Child) -> object:
    """The next event or death; never None."""
    for _ in range(100):
        event = child.next_event(0.1)
        if event is not None:
            return event
    raise AssertionError("nothing came")


def test_a_child_sees_no_secret_and_lives_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that runs code anyway should find nothing worth stealing in its surroundings."""
    monkeypatch.setenv("SECATEUR_DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    child = Child.spawn(fake("tell"), folder=tmp_path)

    assert next_one(child) == Ready()
    assert isinstance(next_one(child), ChildExit)
    pid = child.pid
    child.kill()

    told = json.loads((tmp_path / LOG_NAME).read_text())
    assert set(told["environ"]) <= {*PASSED_ON, "HOME", "TMPDIR", "PYTHONPATH", "LC_CTYPE"}
    assert told["environ"]["CUDA_VISIBLE_DEVICES"] == "1"
    assert {told["environ"]["HOME"], told["environ"]["TMPDIR"], told["cwd"]} == {str(tmp_path)}
    assert told["session"] == pid


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("0", "0")], ids=["by default", "by the operator"])
def test_a_child_computes_with_onednn_unless_the_operator_says_otherwise(
    chosen: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow itself turns it on for some CPUs only, and a job would depend on the one that it met."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", chosen)

    assert clean_environment(tmp_path)["TF_ENABLE_ONEDNN_OPTS"] == expected


def test_the_memory_of_a_child_is_limited(tmp_path: Path) -> None:
    """One job must not take the machine from the others."""
    greedy = [sys.executable, "-c", "bytearray(2 << 30)"]

    child = Child.spawn(greedy, folder=tmp_path, memory_bytes=1 << 30)
    death = next_one(child)
    child.kill()

    assert isinstance(death, ChildExit)
    assert "code 1" in death.how
    assert "MemoryError" in death.log_tail


def test_a_child_leaves_no_core_dump(tmp_path: Path) -> None:
    """A core dump of a training process is gigabytes of somebody's data."""
    child = Child.spawn(fake("deaf"), folder=tmp_path)
    assert next_one(child) == Ready()

    limits = psutil.Process(child.pid).rlimit(psutil.RLIMIT_CORE)
    child.kill()

    assert limits == (0, 0)


def test_a_death_tells_the_signal_and_the_last_words(tmp_path: Path) -> None:
    """That is what an operator has to go by."""
    child = Child.spawn([sys.executable, "-c", "import os; os.write(2, b'oh no'); os.abort()"], folder=tmp_path)

    death = next_one(child)
    child.kill()

    assert death == ChildExit("was killed by SIGABRT", log_tail="oh no")


def test_a_child_dies_with_its_worker(tmp_path: Path) -> None:
    """After ``kill -9`` of a worker its child would train on beside its own successor."""
    parent = (
        "import sys, time; from pathlib import Path; from workers.supervision.process import Child;"
        f"child = Child.spawn({fake('deaf')!r}, folder=Path({str(tmp_path)!r}));"
        "child.next_event(10); print(child.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    child = psutil.Process(int(worker.stdout.readline()))

    worker.kill()
    worker.communicate()

    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_child_whose_worker_died_before_it_could_tell_the_kernel_does_not_start(tmp_path: Path) -> None:
    """BeforeChunk fork and the kernel's promise there is a moment in which the parent can be gone already."""
    witness = tmp_path / "started"
    command = launch.wrap(["touch", str(witness)])
    command[command.index(str(os.getpid()))] = "1"

    done = subprocess.run(command, check=False)

    assert done.returncode == 1
    assert not witness.exists()


def test_killing_twice_is_killing_once(tmp_path: Path) -> None:
    """By the second time the process number may be somebody else's."""
    child = Child.spawn(fake("deaf"), folder=tmp_path)
    assert next_one(child) == Ready()

    child.kill()
    child.kill()

    assert not psutil.pid_exists(child.pid)
