"""The command line, as far as it goes without a model."""

import json
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
