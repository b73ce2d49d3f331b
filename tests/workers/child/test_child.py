"""The real child with the real engine: what it says, in which order, and when it stops."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.errors import ArchiveUnreadable, NothingToPrune
from secateur.protocol.cost_bounds import DEFAULT, CostBounds
from secateur.protocol.progress import Event, Failed, Ready, StepFinished, StepStarted, Succeeded
from secateur.protocol.work import SUMMARY, Assignment, CheckDataset, CheckModel, WorkKind, WorkMessage
from secateur.reports.summaries import DatasetSummary
from secateur.specs.reading import Reading
from tests.badfiles import good_npz
from workers.child.main import as_error
from workers.supervision.process import Child, ChildExit, child_command


def conversation(kind: WorkKind, assignment: Assignment, folder: Path, bounds: CostBounds = DEFAULT) -> list[Event]:
    """All that a child says about its one job."""
    child, said = Child.spawn(child_command((kind,), None), folder=folder), list[Event]()
    try:
        while True:
            match child.next_event(60):
                case None:
                    raise AssertionError("the child went silent")
                case ChildExit() as death:
                    raise AssertionError(f"{death.how}: {death.log_tail}")
                case event:
                    said.append(event)
            if isinstance(event, Ready):
                child.assign(WorkMessage(assignment=assignment, cost_bounds=bounds))
            if isinstance(event, (Succeeded, Failed)):
                return said
    finally:
        child.kill()


def test_a_check_says_ready_then_its_step_then_its_summary(tmp_path: Path) -> None:
    """Ready comes before the assignment, so that a child can be started before there is one."""
    (tmp_path / "data.npz").write_bytes(good_npz())

    ready, started, finished, succeeded = conversation(
        "check_dataset", CheckDataset(dataset="data.npz", reading=Reading(scale="1/255")), tmp_path
    )

    assert ready == Ready()
    assert started == StepStarted(step="check")
    assert isinstance(finished, StepFinished)
    assert isinstance(succeeded, Succeeded)
    summary = DatasetSummary.model_validate_json((tmp_path / SUMMARY).read_text())
    assert (summary.splits["train"].num_samples, summary.num_classes, summary.scale) == (64, 3, "1/255")


def test_a_check_of_thousands_of_classes_leaves_all_their_names(tmp_path: Path) -> None:
    """They take more room than an event has, and are no reason to refuse anything."""
    names = [f"the {number:06d}th of very many classes with a long name" for number in range(25_000)]
    rows = [f"{number % 7},{name},{split}\n" for number, name in enumerate(names) for split in ("train", "train")]
    rows.append(f"3,{names[0]},test\n")
    (tmp_path / "data.csv").write_text("width,species,part\n" + "".join(rows))
    reading = Reading(label="species", split="part")

    *_, succeeded = conversation("check_dataset", CheckDataset(dataset="data.csv", reading=reading), tmp_path)

    assert isinstance(succeeded, Succeeded), succeeded
    assert (tmp_path / SUMMARY).stat().st_size > 1 << 20
    assert DatasetSummary.model_validate_json((tmp_path / SUMMARY).read_text()).classes == tuple(names)


def test_the_child_reads_within_the_bounds_that_it_is_told(tmp_path: Path) -> None:
    """It sees no settings of its own."""
    (tmp_path / "data.npz").write_bytes(good_npz())
    few = CostBounds(data_values=100)

    *_, failed = conversation("check_dataset", CheckDataset(dataset="data.npz"), tmp_path, few)

    assert isinstance(failed, Failed)
    assert failed.failure.code == "upload_too_costly"


def test_a_bad_upload_ends_as_a_typed_failure_that_names_the_step(tmp_path: Path) -> None:
    """Whoever uploaded it gets the reason, not a crash."""
    (tmp_path / "data.npz").write_bytes(good_npz()[:3000])

    *_, failed = conversation("check_dataset", CheckDataset(dataset="data.npz"), tmp_path)

    assert isinstance(failed, Failed)
    assert (failed.failure.code, failed.failure.step) == ("archive_unreadable", "check")


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(MemoryError(), "out_of_memory", id="Python has no memory"),
        pytest.param(ResourceExhaustedError("OOM"), "out_of_memory", id="TensorFlow has no memory"),
        pytest.param(NothingToPrune("none"), "nothing_to_prune", id="ours"),
        pytest.param(ValueError("axis 7"), "internal_error", id="unexpected"),
    ],
)
def test_every_exception_becomes_an_error_of_the_tree(fault: Exception, code: str) -> None:
    """Users meet codes and suggestions, never tracebacks."""
    error = as_error(fault)

    assert error.code == code
    assert str(fault) in error.detail or code == "out_of_memory"
    assert error.suggestions or error is fault


def test_a_file_that_is_damaged_because_the_disk_is_full_is_not_the_users_fault() -> None:
    """Whoever reads what was written in half sees a damaged file, and the file that was uploaded is as it was."""
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as fault:
            raise ArchiveUnreadable("The HDF5 file is damaged.") from fault
    except ArchiveUnreadable as fault:
        error = as_error(fault)

    assert (error.code, error.blame, error.retryable) == ("storage_full", "service", True)
    assert as_error(ArchiveUnreadable("It says: No space left on device.")).blame == "request"


@pytest.mark.parametrize("busy", [True, False], ids=["while working", "while waiting"])
def test_a_child_whose_parent_is_gone_exits(busy: bool, tmp_path: Path) -> None:
    """The end of standard input is the one sign that reaches a child in every sandbox."""
    program = (
        "import sys, time, workers.child.main as child;"
        "child.RUNNERS['check_model'] = lambda: lambda order, emit: time.sleep(60);"
        "child.main(['check_model', 'none', sys.argv[1]])"
    )
    with (tmp_path / "events").open("wb") as events:
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(events.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[events.fileno()],
        )
    assert child.stdin is not None
    if busy:
        child.stdin.write(WorkMessage(assignment=CheckModel(model="m")).model_dump_json().encode() + b"\n")

    child.stdin.close()

    assert child.wait(timeout=10) == (1 if busy else 0)
    assert b"succeeded" not in (tmp_path / "events").read_bytes()


def test_a_child_that_uses_more_processor_time_than_its_job_may_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """The worker watches the clock; this holds when nobody does, and for all threads together."""
    program = (
        "import sys, workers.child.main as child\n"
        "def spin(order, emit):\n"
        "    while True: pass\n"
        "child.RUNNERS['check_model'] = lambda: spin\n"
        "child.main(['check_model', 'none', sys.argv[1]])\n"
    )
    child = Child.spawn([sys.executable, "-c", program], folder=tmp_path)
    assert child.next_event(30) == Ready()

    child.assign(WorkMessage(assignment=CheckModel(model="m"), processor_seconds=0.5))
    death = child.next_event(60)
    child.kill()

    assert isinstance(death, ChildExit)
    assert "SIGXCPU" in death.how or "SIGKILL" in death.how
