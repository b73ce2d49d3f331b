"""``secateur compress`` against the whole system: what most users type."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from secateur.reports.report import Report
from tests.e2e.conftest import Inputs, Service, ask_from_command_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the client differs"),
]

STEPS: list[dict[str, Any]] = [
    {"kind": "prune", "structure": "channel", "macs": 0.5, "channel_multiple": 2, "spare": []},
    {"kind": "quantize", "scheme": "float16"},
]


def test_the_command_line_leaves_the_results_in_a_folder(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """A job that takes channels away: the model that comes back has smaller shapes, loaded by Keras alone."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"steps": STEPS, "on_chance_baseline": "continue"}))
    arguments = [str(inputs.model), str(inputs.dataset), "--spec", str(spec), "--out", str(tmp_path / "out")]

    done = ask_from_command_line(service, "compress", *arguments)

    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("model.tflite", "model.keras", "report.json", "report.html")
    }
    assert "before" in done.stdout
    before, after = keras.saving.load_model(inputs.model), keras.saving.load_model(tmp_path / "out" / "model.keras")
    [cut] = [
        group
        for group in Report.model_validate_json((tmp_path / "out" / "report.json").read_text()).groups
        if group.after < group.before
    ]
    assert after.get_layer(cut.name).units == cut.after < before.get_layer(cut.name).units == cut.before
    assert after.count_params() < before.count_params()


def test_a_failed_job_exits_with_1_and_shows_the_suggestions(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """Pruning a model that only guesses on this data would waste everybody's time, so nobody does it in silence."""
    data = tmp_path / "same.npz"
    x, y = np.zeros((96, 4, 4, 1), "float32"), np.arange(96) % 3
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    arguments = [str(inputs.model), str(data), "--preset", "small", "--out", str(tmp_path / "out")]

    done = ask_from_command_line(service, "compress", *arguments)

    assert done.returncode == 1
    assert "(baseline_at_chance)" in done.stderr
    assert "→" in done.stderr
    assert not (tmp_path / "out").exists()
