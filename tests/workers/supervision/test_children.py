"""Children that wait for jobs, and the real one behind its rules."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from secateur.protocol.progress import Failed, Ready, Succeeded
from secateur.protocol.work import Assignment, CheckDataset, CheckModel, WorkMessage
from tests.badfiles import good_keras, good_npz, hdf5_file
from tests.workers.conftest import eventually, fake, living_in
from workers.sandbox.level import FULL, Sandbox
from workers.supervision import fonts
from workers.supervision.children import ChildLease, Children
from workers.supervision.process import ChildExit
from workers.supervision.scratch import remove


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder of a worker. At its end no child and no folder of one may be left."""
    tmp_path.chmod(0o711)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: not living_in(tmp_path))


def waiting(children: Children) -> list[int]:
    return [leased.child.pid for leased in children._waiting]


def of_fakes(root: Path, behaviour: str = "deaf") -> Children:
    return Children(root, command=lambda kinds, rules: fake(behaviour))


def test_a_job_gets_the_child_that_waits_and_the_next_one_starts_when_it_has_ended(root: Path) -> None:
    """Two at once would fight for the processors; none at all would cost every job seconds of imports."""
    children = of_fakes(root)
    with children.kept_warm(("compress",), slots=1):
        assert eventually(lambda: len(waiting(children)) == 1)
        (first,) = waiting(children)

        with children.lease_child("compress") as leased:
            assert leased.child.pid == first
            time.sleep(0.2)
            assert waiting(children) == []

        assert eventually(lambda: len(waiting(children)) == 1)
        assert waiting(children) != [first]
        assert not psutil.pid_exists(first)


def test_the_fonts_that_the_first_child_found_are_known_to_the_next(root: Path) -> None:
    """To look for them takes a second of a processor, for each job."""

    def found(child: ChildLease) -> str:
        return (child.folder / ".cache" / "matplotlib" / "fontlist-v1.json").read_text()

    children = of_fakes(root, "list_fonts")
    with children.kept_warm(("compress",), slots=1):
        assert eventually(lambda: bool(children._fonts))
        with children.lease_child("compress") as first:
            finder = first.child.pid
        assert eventually(lambda: bool(waiting(children)) and waiting(children) != [finder])
        with children.lease_child("compress") as second:
            assert second.child.next_event(10) == Ready()

            assert (found(second), second.child.pid != finder) == (str(finder), True)


def test_what_is_no_list_of_fonts_is_not_handed_on(tmp_path: Path) -> None:
    cache = tmp_path / ".cache" / "matplotlib"
    cache.mkdir(parents=True)
    (tmp_path / "secret").write_text("of somebody else")
    (cache / "fontlist-link.json").symlink_to(tmp_path / "secret")
    os.mkfifo(cache / "fontlist-pipe.json")

    assert fonts.font_lists(tmp_path) == {}


def test_a_job_that_finds_nobody_waiting_gets_a_child_of_its_own(root: Path) -> None:
    """More jobs than slots, or the first one after a start: it only takes longer."""
    with of_fakes(root).lease_child("compress") as leased:
        assert leased.child.next_event(10) == Ready()


def test_a_job_that_imports_little_does_not_wait_for_a_child_that_imports_everything(root: Path) -> None:
    """The check of a small table would take seconds after the start of a worker."""
    children = of_fakes(root, "mute")
    with children.kept_warm(("check_dataset", "check_model"), slots=2):
        assert eventually(lambda: len(waiting(children)) == 2)
        before = waiting(children)

        with children.lease_child("check_dataset") as light, children.lease_child("check_model") as heavy:
            assert light.child.pid not in before
            assert heavy.child.pid in before


def test_no_two_children_share_a_folder(root: Path) -> None:
    """Nothing of one job may be there for the next."""
    children = of_fakes(root)
    with children.lease_child("compress") as one, children.lease_child("compress") as two:
        assert one.folder != two.folder
        assert [path.name for path in two.folder.iterdir() if path.name != "child.log"] == ["out"]


def test_a_child_that_dies_while_it_waits_is_replaced(root: Path) -> None:
    """The system may kill it for memory; the next job must not pay for that."""
    children = of_fakes(root)
    with children.kept_warm(("compress",), slots=1):
        assert eventually(lambda: len(waiting(children)) == 1)
        (first,) = waiting(children)

        os.kill(first, signal.SIGKILL)

        assert eventually(lambda: waiting(children) not in ([], [first]))


def test_children_that_die_at_once_are_started_again_ever_more_slowly(root: Path) -> None:
    """A broken installation must not burn a processor."""
    started: list[float] = []

    def command(*_: object) -> list[str]:
        started.append(time.monotonic())
        return ["false"]

    with Children(root, command=command).kept_warm(("compress",), slots=1):
        assert eventually(lambda: len(started) == 3)

    assert started[2] - started[1] > started[1] - started[0]


def answer(leased: ChildLease, assignment: Assignment) -> Succeeded | Failed:
    """How a child ends its one job."""
    leased.admit()
    while True:
        match leased.child.next_event(60):
            case Ready():
                leased.child.assign(WorkMessage(assignment=assignment))
            case Succeeded() | Failed() as ended:
                return ended
            case ChildExit() as death:
                raise AssertionError(f"{death.how}: {death.log_tail}")


CONFINED = Sandbox(FULL, file_bytes=1 << 30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.keras", good_keras, id="a model of Keras 3"),
        pytest.param("model.h5", hdf5_file, id="a model of Keras 2"),
    ],
)
def test_a_confined_child_checks_models(root: Path, name: str, content: object) -> None:
    """Including the process that reads HDF5 files first, which must be there although none may be started."""
    assert callable(content)
    with Children(root, CONFINED).lease_child("check_model") as leased:
        (leased.folder / name).write_bytes(content())

        ended = answer(leased, CheckModel(model=name))

    assert isinstance(ended, Succeeded), ended


def test_a_confined_child_that_waits_for_several_kinds_does_the_one_that_comes(root: Path) -> None:
    """And is no longer root, if it ever was, before the job is there."""
    children = Children(root, CONFINED)
    with children.kept_warm(("check_dataset", "check_model"), slots=1):
        assert eventually(lambda: len(waiting(children)) == 1)
        with children.lease_child("check_dataset") as leased:
            (leased.folder / "data.npz").write_bytes(good_npz())
            process = psutil.Process(leased.child.pid)
            assert eventually(lambda: process.uids().effective != 0)

            ended = answer(leased, CheckDataset(dataset="data.npz"))

    assert isinstance(ended, Succeeded), ended


def test_a_killed_worker_leaves_neither_a_waiting_child_nor_the_process_that_reads_for_it(root: Path) -> None:
    """``kill -9`` gives nobody the time to tidy up: the kernel does it, for processes of other accounts too."""
    program = (
        "import time; from pathlib import Path;"
        "from workers.supervision.children import Children; from workers.sandbox.level import FULL, Sandbox;"
        f"children = Children(Path({str(root)!r}), Sandbox(FULL, file_bytes=1 << 30));"
        "waiting = children.kept_warm(('check_dataset',), slots=1); waiting.__enter__(); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program])
    others = {worker.pid}
    try:
        assert eventually(lambda: len({process.pid for process in living_in(root)} - others) == 2)
    finally:
        worker.kill()
        worker.wait()

    assert eventually(lambda: not living_in(root))
    for left in root.iterdir():
        remove(left)
