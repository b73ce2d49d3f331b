"""``python -m engine inspect``: JSON for machines, tables for people, about the same facts."""

import io
import json
from pathlib import Path

import keras
import pytest
from rich.console import Console
from typer.testing import CliRunner

from engine.__main__ import app, print_summary
from engine.inspection.inspect import inspect_dataset, inspect_model
from engine.inspection.summary import summarise
from secateur.reports.summaries import ModelSummary
from secateur.specs.reading import Reading
from tests.badfiles import good_npz
from tests.engine.models.test_model import residual


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / "residual.keras"
    residual().save(path)
    return path


def shown(summary: ModelSummary, *, in_terminal: bool, as_json: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=in_terminal, color_system=None)
    print_summary(summary, to=console, as_json=as_json)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_script_gets_json_without_asking_for_it(file: Path) -> None:
    """What is printed into a pipe today must be there tomorrow."""
    done = CliRunner().invoke(app, ["inspect", str(file)])

    assert done.exit_code == 0
    summary = ModelSummary.model_validate_json(done.stdout)
    assert summary.groups == inspect_model(file).groups
    assert [group.name for group in summary.groups] == ["stem", "inner", "classes"]


def test_a_terminal_gets_tables_unless_it_asks_for_json(file: Path) -> None:
    summary = inspect_model(file)

    assert "Groups of channels" in shown(summary, in_terminal=True)
    assert "Groups of channels" not in shown(summary, in_terminal=False)
    assert ModelSummary.model_validate_json(shown(summary, in_terminal=True, as_json=True)) == summary


def test_the_tables_tell_what_is_spared_what_is_frozen_and_why(file: Path) -> None:
    rows = [" ".join(line.split()) for line in shown(inspect_model(file), in_terminal=True).splitlines()]

    assert any(row.startswith("stem 16 333 38,469") and "it reads the model's input" in row for row in rows)
    assert any(row.startswith("with shared, back") for row in rows)
    assert "classes 5 – – – frozen: it makes an output of the model" in rows
    assert 'Freed by "spare": ["normalized"], or one at a time by "layers": {"stem": 0.5}' in " ".join(rows)


def test_a_data_set_is_told_as_json_everywhere(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(good_npz())
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)

    print_summary(inspect_dataset(tmp_path / "data.npz", Reading()), to=console)

    assert json.loads(console.file.getvalue())["format"] == "npz"  # type: ignore[attr-defined]


def test_a_model_without_anything_to_cut_is_no_error() -> None:
    """It may still be quantised."""
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Flatten()])

    summary = summarise(plain)

    assert (summary.num_macs, summary.groups) == (0, ())
    assert "0 parameters" in shown(summary, in_terminal=True)
