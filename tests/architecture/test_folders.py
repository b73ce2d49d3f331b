"""A folder says what belongs in it, holds few files, and stands in the tree of docs/architecture.md."""

import ast
import re
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
PACKAGES: Final = ("secateur", "screening", "reporting", "engine", "infra", "service", "workers", "stack")
MOST_FILES: Final = 15
"""Modules of one folder, beside its sub-folders."""


def folders() -> dict[str, str]:
    """Every folder of the product with the first line of its docstring."""
    found = {}
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            docstring = ast.get_docstring(ast.parse(init.read_text())) or ""
            found[str(init.parent.relative_to(ROOT))] = docstring.partition("\n")[0]
    return found


def test_every_folder_says_what_belongs_in_it() -> None:
    assert not [folder for folder, docstring in folders().items() if not docstring]


def test_no_folder_is_crowded() -> None:
    """A folder with more files hides ideas that deserve folders of their own."""
    crowded = {
        folder: count
        for folder in folders()
        if (count := len([path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"])) > MOST_FILES
    }

    assert not crowded


def test_the_tree_in_the_architecture_page_is_the_real_one() -> None:
    """Renew it with: python -m tests.architecture.test_folders"""
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"<!-- folders -->\n```\n(.*?)```", page, flags=re.DOTALL)

    assert block is not None
    assert block[1] == tree()


def tree() -> str:
    """The folders as an indented list, each with the first line of its docstring."""
    lines = []
    for folder, docstring in folders().items():
        name = f"{'  ' * folder.count('/')}{folder.rpartition('/')[2]}/"
        lines.append(f"{name:<20} {docstring}\n")
    return "".join(lines)


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    block = re.compile(r"(<!-- folders -->\n```\n).*?(```)", flags=re.DOTALL)
    page.write_text(block.sub(lambda found: found[1] + tree() + found[2], page.read_text()))
