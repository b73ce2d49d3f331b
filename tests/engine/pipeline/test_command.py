"""The command line, as far as it goes without a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.__main__ import app
from secateur.errors import InvalidRequest


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"steps": [{"kind": "prune", "structure": "channel", "macs": 2}]}, "steps.0.macs: Input should be less than"),
        (
            {"steps": [{"kind": "prune", "structure": "channels"}]},
            "steps.0.structure: Input should be 'weight', 'unit'",
        ),
        ([], "recipe: Input should be"),
    ],
)
def test_a_slip_in_a_recipe_is_told_where_it_was_written(recipe: object, told: str, tmp_path: Path) -> None:
    for name in ("model.keras", "data.npz"):
        (tmp_path / name).touch()
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    options = ["--data", str(tmp_path / "data.npz"), "--spec", str(tmp_path / "recipe.json"), "--out", str(tmp_path)]

    done = CliRunner().invoke(app, ["compress", str(tmp_path / "model.keras"), *options])

    assert isinstance(done.exception, InvalidRequest)
    assert told in done.exception.detail


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("0", "0")], ids=["by default", "by its user"])
def test_the_command_computes_with_onednn_unless_its_user_says_otherwise(chosen: str | None, expected: str) -> None:
    """TensorFlow looks once, when it is imported."""
    script = (
        "import os, sys; from engine.__main__ import main; assert 'tensorflow' not in sys.modules; "
        "sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "finally: sys.stderr.write(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    others = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment = others if chosen is None else others | {"TF_ENABLE_ONEDNN_OPTS": chosen}

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert done.stderr == expected
