"""The command line: its exit codes are an interface, its messages tell what to do next."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secateur.cli.main import app
from stack.machine import usable_port


def secateur(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secateur.cli.main", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name in ("model.keras", "data.npz"):
        (tmp_path / name).write_bytes(b"x")
    return str(tmp_path / "model.keras"), str(tmp_path / "data.npz")


WRONG = {
    "neither spec nor preset": [],
    "both spec and preset": ["--preset", "small", "--spec", "{spec}"],
    "a spec that is not JSON": ["--spec", "{data}"],
    "a spec that is a list": ["--spec", "{list}"],
    "an unknown scale": ["--preset", "small", "--scale", "1/7"],
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
def test_wrong_usage_exits_with_2(options: list[str], files: tuple[str, str], tmp_path: Path) -> None:
    """Scripts must be able to tell their own mistake from a failed job."""
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "list.json").write_text("[]")
    known = {"{spec}": "spec.json", "{data}": "data.npz", "{list}": "list.json"}
    filled = [str(tmp_path / known[option]) if option in known else option for option in options]

    done = secateur("compress", *files, "--out", str(tmp_path / "out"), *filled)

    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_service_that_is_not_there_exits_with_1_and_says_what_to_do(files: tuple[str, str], tmp_path: Path) -> None:
    """The traceback of a connection error helps nobody."""
    url = f"http://127.0.0.1:{usable_port('127.0.0.1', 0)}"

    done = secateur("compress", *files, "--preset", "small", "--out", str(tmp_path / "out"), "--url", url)

    assert done.returncode == 1
    assert "make up" in done.stderr
    assert "Traceback" not in done.stderr


ADVICE = {
    "yaml for a spec": (["--spec", "{yaml}"], 'A spec is JSON such as {"steps":'),
    "nothing to do": ([], "--preset, one of careful, balanced"),
    "another scale": (["--preset", "small", "--scale", "255"], 'JSON such as {"mean": 125, "deviation": 64}'),
    "a declaration without a value": (["--preset", "small", "--declare", "label"], "Write NAME=VALUE"),
    "a declaration of nothing": (["--preset", "small", "--declare", "lable=x"], "Did you mean label?"),
}


@pytest.mark.parametrize(("options", "advice"), ADVICE.values(), ids=ADVICE)
def test_wrong_usage_says_what_to_write(
    options: list[str], advice: str, files: tuple[str, str], tmp_path: Path
) -> None:
    """Nothing is sent before."""
    (tmp_path / "spec.yaml").write_text("preset: balanced\n")
    filled = [str(tmp_path / "spec.yaml") if option == "{yaml}" else option for option in options]

    done = CliRunner().invoke(app, ["compress", *files, "--out", str(tmp_path / "out"), *filled])

    assert done.exit_code == 2
    assert advice in " ".join(done.output.replace("│", " ").split())


def test_a_drop_that_is_no_number_says_what_a_point_is(files: tuple[str, str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["search", *files, "--out", str(tmp_path / "out"), "--drop", "1%"])

    assert done.exit_code == 2
    assert "one point of accuracy is 0.01" in " ".join(done.output.replace("│", " ").split())
