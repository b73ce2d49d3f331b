"""What an extra of ours installs, and what our modules import."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    """A distribution's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(extra: str) -> set[str]:
    """Every distribution that ``pip install .[extra]`` brings, by what is declared and what those need."""
    todo = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra])]
    found: set[str] = set()
    while todo:
        wanted = todo.pop()
        name = canonical(wanted.name)
        if name == "secateur":
            todo += [Requirement(t) for part in wanted.extras for t in PROJECT["optional-dependencies"][part]]
        elif name not in found:
            found.add(name)
            todo += needs(wanted)
    return found


def needs(wanted: Requirement) -> Iterator[Requirement]:
    """What a distribution with these extras needs on this machine."""
    try:
        declared = requires(wanted.name) or []
    except PackageNotFoundError:
        return
    for needed in map(Requirement, declared):
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (*wanted.extras, "")):
            yield needed


def third_parties(*modules: str) -> set[str]:
    """What is imported of others by these modules of ours, and by those of ours that they import."""
    todo, seen, found = list(modules), set[Path](), set[str]()
    while todo:
        name = todo.pop()
        path = file_of(name)
        if path is None:
            if not (ROOT / name.partition(".")[0]).is_dir():
                found.add(name.partition(".")[0])
        elif path not in seen:
            seen.add(path)
            todo += imports_of(path)
    return found - set(sys.stdlib_module_names)


def file_of(name: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports_of(path: Path) -> Iterator[str]:
    """The names that a file imports at its top, where nothing makes them optional."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
