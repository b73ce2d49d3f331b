"""The first command that a newcomer runs: it ends with results, or without a trace."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from secateur.reports.report import Report
from stack.demo import demo
from stack.interrupts import Interrupts
from tests.badfiles import good_keras, good_npz
from tests.stack.test_stack import eventually, gone

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def _no_children_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of those that wait for a job imports TensorFlow, and there is one job."""
    monkeypatch.setenv("SECATEUR_WARM_CHILDREN", "false")


def test_the_demo_leaves_its_results_and_no_state(tmp_path: Path) -> None:
    """The same road as with MNIST, on a model that takes seconds."""
    example, out, terminal = tmp_path / "example", tmp_path / "out", io.StringIO()
    example.mkdir()
    (example / "model.keras").write_bytes(good_keras())
    (example / "mnist.npz").write_bytes(good_npz())
    steps = [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}}, {"kind": "quantize"}]
    (example / "spec.json").write_text(json.dumps({"steps": steps, "on_chance_baseline": "continue"}))
    before = psutil.Process().children(recursive=True)

    paths = demo(out, Console(file=terminal, width=100), Interrupts(), example=example)

    assert sorted(out.iterdir()) == sorted(paths)
    assert {path.name for path in paths} == {"model.tflite", "model.keras", "report.json", "report.html"}
    assert Report.model_validate_json((out / "report.json").read_text()).delivered_sparsity is not None
    assert all(str(path) in terminal.getvalue() for path in paths)
    assert psutil.Process().children(recursive=True) == before


def test_ctrl_c_in_the_demo_leaves_nothing(tmp_path: Path) -> None:
    """Also in the middle of a training."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "stack", "demo", "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def trains() -> bool:
        """Whether a job's process has both of its inputs; a check has one."""
        models = out.glob(".state/var/scratch/*/child-*/model.keras")
        return any(model.with_name("data.npz").exists() for model in models)

    assert eventually(trains, within_seconds=60)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert process.returncode == 130
    assert gone(family)
    assert list(out.iterdir()) == []
