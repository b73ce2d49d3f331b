"""What confines jobs on this machine, broken on purpose part by part."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.errors import SandboxMissing
from workers.sandbox import level
from workers.sandbox.attack import ATTACKS
from workers.sandbox.confinement import PARTS
from workers.sandbox.level import FULL, Sandbox, prepare_sandbox

LIMIT = 1 << 30
FILES = {"read_a_file_outside", "list_a_folder_outside", "write_outside", "truncate_outside", "link_outside"}
CALLS = {"open_a_socket", "start_a_process", "outlive_the_worker", "have_the_kernel_signal_the_worker"}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    tmp_path.chmod(0o711)
    return tmp_path


def test_no_attack_succeeds_and_a_job_could_work(scratch: Path) -> None:
    """Eighteen ways out, each tried by a process that is confined as a job is."""
    sandbox = prepare_sandbox("require", scratch, file_bytes=LIMIT)

    assert (sandbox.level, sandbox.weaknesses, sandbox.missing) == (FULL, (), ())
    assert list(scratch.iterdir()) == [], "the attack left something behind"


@pytest.mark.parametrize(
    ("parts", "lost"),
    [
        pytest.param(("seccomp",), FILES, id="without Landlock"),
        pytest.param(("landlock",), CALLS, id="without seccomp"),
    ],
)
def test_each_part_stops_attacks_that_the_other_does_not(
    scratch: Path, parts: tuple[level.Part, ...], lost: set[str]
) -> None:
    """An attack that fails anyway would say nothing about the part that it is meant for."""
    assert lost <= set(level.succeeded_attacks(Sandbox("", parts, file_bytes=LIMIT), scratch))


def test_without_any_part_nearly_everything_succeeds(scratch: Path) -> None:
    """The attacks work: what stops them above is the sandbox. Limits on resources hold all the same."""
    succeeded = set(level.succeeded_attacks(Sandbox("", (), file_bytes=LIMIT), scratch))

    assert succeeded >= FILES | CALLS
    assert not succeeded & {"write_a_large_file", "raise_a_limit"}
    assert succeeded <= {attack.__name__ for attack in ATTACKS}


@pytest.fixture
def without_seccomp(monkeypatch: pytest.MonkeyPatch) -> str:
    why = "libseccomp.so.2 is not installed"
    monkeypatch.setattr(level, "why_missing", {"landlock": None, "seccomp": why}.__getitem__)
    return why


def test_a_part_that_is_missing_is_named_and_the_rest_is_used(scratch: Path, without_seccomp: str) -> None:
    """``prefer`` starts, and says at every look what is missing."""
    sandbox = prepare_sandbox("prefer", scratch, file_bytes=LIMIT)

    assert sandbox.parts == ("landlock",)
    assert sandbox.missing == (f"seccomp: {without_seccomp}",)
    assert sandbox.level.startswith("landlock (weak: ")
    assert "open_a_socket" in sandbox.level


def test_a_worker_that_requires_the_sandbox_is_refused_with_what_is_missing(
    scratch: Path, without_seccomp: str
) -> None:
    """Whoever runs it must not believe that strangers' models are confined when they are not."""
    with pytest.raises(SandboxMissing, match=without_seccomp) as caught:
        prepare_sandbox("require", scratch, file_bytes=LIMIT)

    assert any("apt-get install libseccomp2" in suggestion for suggestion in caught.value.suggestions)


def test_off_is_off(scratch: Path) -> None:
    """For machines where the kernel has neither part and all uploads are one's own."""
    sandbox = prepare_sandbox("off", scratch, file_bytes=LIMIT)

    assert sandbox.confinement(scratch, 0) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give children accounts of their own")
def test_two_children_of_root_have_two_accounts() -> None:
    """One cannot read the other's files, signal it, or use up its share of threads."""
    sandbox = Sandbox(FULL, PARTS)
    one, two = (sandbox.confinement(Path("/nowhere"), number) for number in (1, 2))

    assert one is not None
    assert two is not None
    assert len({one.uid, two.uid, os.getuid()}) == 3


LOOK = """
import os, sys
from workers.sandbox.confinement import Confinement, enter
enter(Confinement.from_json(sys.argv[1]))
print(os.access(sys.argv[2], os.F_OK), os.path.exists(sys.argv[2]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give children accounts of their own")
def test_a_child_finds_its_own_files_in_somebodys_home(tmp_path: Path) -> None:
    """TensorFlow looks by access(2), which by itself leaves aside what a process of another account may do."""
    home, folder = tmp_path / "home", tmp_path / "home" / "child"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("1")
    home.chmod(0o700)
    confinement = Sandbox(FULL, PARTS).confinement(folder, 1)
    level.hand_over(folder, confinement)
    assert confinement is not None

    command = [sys.executable, "-P", "-s", "-c", LOOK, confinement.to_json(), str(folder / "weights")]
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    looked = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert looked.stdout == "True True\n", looked.stderr
