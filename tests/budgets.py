"""What the tests of each folder may take, beside what they took. The numbers are printed: no test fails by time."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Final, Literal

from tests.junit import Case

FILE: Final = Path(__file__).with_suffix(".toml")

DOCTESTS: Final = "doctests"
"""The examples in the docstrings of the product, whichever folder holds them."""


def read(target: Literal["test", "test-all"]) -> dict[str, float]:
    """Seconds by folder, for one of the targets of make."""
    budget: dict[str, float] = tomllib.loads(FILE.read_text())[target]
    return budget


def folder_of(nodeid: str, budget: Mapping[str, float]) -> str:
    """The folder of a budget that a test counts for: the nearest one above it.

    >>> folder_of("tests/engine/pruning/test_mask.py::test_a", {"tests": 1, "tests/engine": 2})
    'tests/engine'
    >>> folder_of("engine/notes.py::engine.notes.Notes", {"tests": 1})
    'doctests'
    """
    parents = map(str, PurePath(nodeid.partition("::")[0]).parents)
    return next((folder for folder in parents if folder in budget), DOCTESTS)


def table(cases: Iterable[Case], budget: Mapping[str, float]) -> list[str]:
    """One line a folder.

    >>> print(*table([Case("tests.infra.test_store", "test_a", 12.0, "passed")], {"tests/infra": 10}), sep="\\n")
      seconds   budget  tests
         12.0       10      1  tests/infra  over by 2 s
         12.0       10      1  all
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    for case in cases:
        folder = folder_of(case.file, budget)
        seconds[folder] += case.seconds
        tests[folder] += 1
    lines = ["  seconds   budget  tests"]
    for folder, took in sorted(seconds.items(), key=lambda item: -item[1]):
        over = took - budget.get(folder, 0.0)
        ending = f"  over by {over:.0f} s" if over > 0.5 else ""
        lines.append(f"{took:9.1f} {budget.get(folder, 0.0):8.0f} {tests[folder]:6}  {folder}{ending}")
    lines.append(f"{sum(seconds.values()):9.1f} {sum(budget.values()):8.0f} {tests.total():6}  all")
    return lines
