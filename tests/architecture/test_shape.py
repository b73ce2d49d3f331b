"""Rules of the house that a reader would otherwise have to remember."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "versions" not in path.parts
}
"""The text of each file of the product, by its name. Migrations are written once and stay as they are."""

TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
ERRORS = "secateur/errors.py"
"""A tree of errors is a list: it may be longer, and its classes are described by their titles."""


def test_these_rules_see_every_package() -> None:
    """A check that cannot fail is a defect: without files, each of the others would pass."""
    assert {name.partition("/")[0] for name in SOURCES} == set(PACKAGES) != set()


def test_no_file_grows_past_three_hundred_lines() -> None:
    """A file that does is two ideas."""
    lengths = {name: len(text.splitlines()) for name, text in SOURCES.items()}

    assert not {name: length for name, length in lengths.items() if length > (700 if name == ERRORS else 300)}


def num_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which documents every parameter."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented and ast.get_docstring(function) else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_no_function_grows_past_sixty_lines() -> None:
    too_long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and num_lines(node) > 60
    ]

    assert not too_long


def test_every_module_says_what_it_is_for() -> None:
    assert not [name for name, tree in TREES.items() if not ast.get_docstring(tree)]


def test_every_public_function_of_a_module_says_what_it_does() -> None:
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and name != ERRORS
        and len(ast.unparse(node).splitlines()) > 4
    ]

    assert not silent


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}

    assert not [name for name in SOURCES if Path(name).stem in drawers]


def test_nothing_in_the_repository_names_a_package_registry_or_a_path_of_a_machine() -> None:
    """Such names work on one machine and on no other."""
    hosts = "|".join(("files" + r"\.pythonhosted", "pypi" + r"\.org/simple", "registry" + r"\.npmjs", "/root" + "/"))
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split(
        "\n"
    )

    found = [
        name
        for name in tracked
        if name and (ROOT / name).suffix not in {".npz", ".keras", ".png"} and (ROOT / name).is_file()
        if re.search(hosts, (ROOT / name).read_text(errors="replace"))
    ]

    assert not found
