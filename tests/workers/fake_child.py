"""Stands in for ``workers.child``: a program that behaves, or misbehaves, as its first argument says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIPE = int(sys.argv[2]) if __name__ == "__main__" else -1
SUMMARY = {
    "splits": {"train": {"num_samples": 3}, "test": {"num_samples": 1}},
    "sample_shape": [2],
    "sample_dtype": "float32",
    "sample_min": 0.0,
    "sample_max": 1.0,
    "label_shape": [],
    "label_dtype": "int64",
    "label_kind": "classes",
    "num_classes": 2,
}


def say(**event: Any) -> None:
    os.write(PIPE, json.dumps(event).encode() + b"\n")


def take_assignment() -> dict[str, Any]:
    say(event="ready")
    assignment: dict[str, Any] = json.loads(sys.stdin.readline())["assignment"]
    return assignment


def found(summary: dict[str, Any]) -> None:
    Path("summary.json").write_text(json.dumps(summary))
    say(event="succeeded")


def find_many_classes() -> None:
    """Finds more than fits into an event."""
    take_assignment()
    names = [f"class {number} of those with a name that is not short" for number in range(100_000)]
    found(SUMMARY | {"num_classes": len(names), "classes": names})


def find_too_much() -> None:
    take_assignment()
    found(SUMMARY | {"classes": ["x" * (9 << 20)]})


def find_nothing() -> None:
    take_assignment()
    say(event="succeeded")


def find_what_is_not_its_own() -> None:
    take_assignment()
    Path("elsewhere.json").write_text(json.dumps(SUMMARY))
    Path("summary.json").symlink_to("elsewhere.json")
    say(event="succeeded")


def succeed() -> None:
    assignment = take_assignment()
    if assignment["kind"] != "compress":
        found(SUMMARY)
        return
    for step in ("baseline", "prune"):
        say(event="step_started", step=step)
        say(event="step_finished", step=step, seconds=0.5, message=f"{step} done")
    content = Path(assignment["model"]).read_bytes() + Path(assignment["dataset"]).read_bytes()
    Path(assignment["out"], "model.tflite").write_bytes(content)
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "application/vnd.tflite"}])


def measure() -> None:
    """Leaves curves, which tell how many it was given and could read."""
    assignment = take_assignment()
    given = [Path(name).read_text() for name in assignment["sensitivity"] if Path(name).exists()]
    Path(assignment["out"], "sensitivity.json").write_text(f"{len(given)} of {len(assignment['sensitivity'])} known")
    say(event="succeeded", files=[{"name": "sensitivity.json", "media_type": "application/json"}])


def succeed_when_told() -> None:
    """Waits for a file ``go`` beside the scratch folder."""
    say(event="ready")
    say(event="step_started", step="prune")
    while not Path("..", "..", "go").exists():
        time.sleep(0.01)
    succeed()


def fail() -> None:
    take_assignment()
    say(event="step_started", step="prune")
    failure = {"code": "training_diverged", "title": "t", "detail": "d", "blame": "request", "retryable": False}
    say(event="failed", failure=failure)


def service_fault() -> None:
    """The engine met a fault of its own, which may go away."""
    take_assignment()
    say(event="step_started", step="prune")
    failure = {"code": "internal_error", "title": "t", "detail": "odd", "blame": "service", "retryable": True}
    say(event="failed", failure=failure)


def service_fault_once() -> None:
    mark = Path("..", "..", "failed")
    if mark.exists():
        succeed()
    else:
        mark.touch()
        service_fault()


def log_and_succeed() -> None:
    say(event="log", level="warning", logger="engine", message="a layer is left alone")
    succeed()


def crash() -> None:
    take_assignment()
    sys.stderr.write("last words\n")
    say(event="step_started", step="prune")
    os.kill(os.getpid(), signal.SIGKILL)


def crash_once() -> None:
    mark = Path("..", "..", "crashed")
    if not mark.exists():
        mark.touch()
        crash()
    succeed()


def keep(content: bytes) -> None:
    """Say how far it is, and wait until somebody has taken it."""
    Path("checkpoint.part").write_bytes(content)
    Path("checkpoint.part").rename("checkpoint.npz")
    say(event="saved")
    while os.path.lexists("checkpoint.npz"):
        time.sleep(0.01)
    time.sleep(0.15)  # what comes sooner is not taken


def keep_again_and_crash() -> None:
    """Goes on from what is kept, keeps more, and dies."""
    take_assignment()
    keep(b"farthest")
    os.kill(os.getpid(), signal.SIGKILL)


def keep_and_crash() -> None:
    """Keeps how far it is and dies in its next step; told how far an earlier attempt was, it goes on and succeeds."""
    assignment = take_assignment()
    if assignment["earlier"] is None:
        say(event="step_started", step="baseline")
        keep(b"far")
        say(event="step_finished", step="baseline", seconds=0.5, message="baseline done")
        keep(b"farther")
        say(event="step_started", step="prune")
        os.kill(os.getpid(), signal.SIGKILL)
    Path(assignment["out"], "model.tflite").write_bytes(b"from " + Path(assignment["earlier"]).read_bytes())
    say(event="step_started", step="prune")
    say(event="step_finished", step="prune", seconds=0.5)
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "application/vnd.tflite"}])


def keep_and_hang() -> None:
    take_assignment()
    say(event="step_started", step="baseline")
    keep(b"far")
    time.sleep(60)


def keep_what_is_not_its_own() -> None:
    assignment = take_assignment()
    Path("checkpoint.npz").symlink_to("/etc/hostname")
    say(event="saved")
    while os.path.lexists("checkpoint.npz"):
        time.sleep(0.01)
    Path("checkpoint.npz").mkdir()
    say(event="saved")
    Path(assignment["out"], "model.tflite").write_bytes(b"done")
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "application/vnd.tflite"}])


def quit_quietly() -> None:
    take_assignment()


def flood() -> None:
    take_assignment()
    while True:
        os.write(PIPE, b"x" * 65536)


def print_without_end() -> None:
    """Goes on when its log has another name, and another file has the log's."""
    take_assignment()
    Path("child.log").unlink()
    Path("child.log").symlink_to("/etc/passwd")
    while True:
        os.write(1, b"x" * 65536)


def chatter() -> None:
    take_assignment()
    while True:
        say(event="step_started", step="prune")


def lie() -> None:
    take_assignment()
    os.write(PIPE, b'{"event": "succeeded", "files": [{"name": "../../etc/passwd", "media_type": "x"}]}\n')
    time.sleep(60)


def gibberish() -> None:
    take_assignment()
    os.write(PIPE, b"Traceback (most recent call last):\n")
    time.sleep(60)


def wrong_summary() -> None:
    take_assignment()
    found({"hello": "world"})


def announce_missing() -> None:
    take_assignment()
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "x"}])


def announce_link() -> None:
    assignment = take_assignment()
    Path(assignment["out"], "model.tflite").symlink_to("/etc/hostname")
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "x"}])


def replace_out() -> None:
    assignment = take_assignment()
    Path(assignment["out"]).rmdir()
    Path(assignment["out"]).symlink_to("/etc")
    say(event="succeeded", files=[{"name": "hostname", "media_type": "x"}])


def leave_a_hole() -> None:
    """Leaves what takes a minute to hash."""
    assignment = take_assignment()
    say(event="step_started", step="prune")
    with Path(assignment["out"], "model.tflite").open("wb") as file:
        file.truncate(60 << 30)
    say(event="succeeded", files=[{"name": "model.tflite", "media_type": "application/vnd.tflite"}])


def leave_two() -> None:
    assignment = take_assignment()
    say(event="step_started", step="prune")
    for name in ("one", "two"):
        Path(assignment["out"], name).write_text(name)
    say(event="succeeded", files=[{"name": name, "media_type": "x/y"} for name in ("one", "two")])


def hang() -> None:
    take_assignment()
    say(event="step_started", step="prune")
    time.sleep(60)


def hang_with_family() -> None:
    """Leaves a grandchild that ignores SIGTERM, and ignores it itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", ignore], pass_fds=[PIPE])
    hang()


def orphan_family() -> None:
    """Dies while a grandchild holds the pipe open."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[PIPE])
    crash()


def close_pipe() -> None:
    take_assignment()
    os.close(PIPE)
    time.sleep(60)


def mute() -> None:
    """Is still importing."""
    time.sleep(60)


def deaf() -> None:
    """Never reads its assignment."""
    say(event="ready")
    time.sleep(60)


def list_fonts() -> None:
    """Makes a list of fonts, unless there is one, as matplotlib does when it is imported."""
    cache = Path(".cache", "matplotlib")
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "fontlist-v1.json").exists():
        (cache / "fontlist-v1.json").write_text(str(os.getpid()))
    deaf()


def tell() -> None:
    """Tells its log what it can see."""
    sys.stderr.write(json.dumps({"environ": dict(os.environ), "cwd": str(Path.cwd()), "session": os.getsid(0)}))
    say(event="ready")


BEHAVIOURS: dict[str, Callable[[], None]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        *(
            succeed,
            measure,
            succeed_when_told,
            fail,
            service_fault,
            service_fault_once,
            log_and_succeed,
            crash,
            crash_once,
            quit_quietly,
            flood,
            print_without_end,
            chatter,
            lie,
            gibberish,
            wrong_summary,
            find_many_classes,
            find_too_much,
            find_nothing,
            find_what_is_not_its_own,
        ),
        *(
            announce_missing,
            announce_link,
            replace_out,
            leave_a_hole,
            leave_two,
            list_fonts,
            hang,
            hang_with_family,
            orphan_family,
            close_pipe,
            mute,
            deaf,
            tell,
            keep_and_crash,
            keep_again_and_crash,
            keep_and_hang,
            keep_what_is_not_its_own,
        ),
    )
}

if __name__ == "__main__":
    BEHAVIOURS[sys.argv[1]]()
