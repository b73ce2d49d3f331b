"""How a whole run is divided: each pass runs the tests of one backing, together by all cores or alone.

The first pass collects every test. It writes down which of them the later passes run, so that those import the files of
these tests and no others.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest

from tests import budgets

Kind = Literal["embedded", "servers"]

DIFFERENCE: Final = frozenset({"backing", "lasting_backing", "real_servers"})
"""Fixtures that are another thing with ``--backing servers``; tests without them run once."""


@dataclass(frozen=True)
class Pass:
    """The tests of one backing: those that are marked ``alone``, or all others.

    >>> TOGETHER.options(num_workers=2, slow=False)[:2]
    ['-m', 'not alone and not slow']
    >>> [one.name for one in LATER if one.alone]
    ['SQLite and folders, alone', 'PostgreSQL and S3, alone']
    """

    backing: Kind
    alone: bool

    @property
    def name(self) -> str:
        return {"embedded": "SQLite and folders", "servers": "PostgreSQL and S3"}[self.backing] + ", alone" * self.alone

    @property
    def key(self) -> str:
        """The name of its list of tests."""
        return self.backing + "-alone" * self.alone

    def holds(self, item: pytest.Item) -> bool:
        """Whether the pass runs a test."""
        return runs_on(item, self.backing) and (item.get_closest_marker("alone") is not None) == self.alone

    def options(self, *, num_workers: int, slow: bool) -> list[str]:
        """The options of pytest.

        Args:
            num_workers: processes for tests that need not be alone.
            slow: whether tests that are marked ``slow`` run too.
        """
        chosen = ("alone" if self.alone else "not alone") + ("" if slow else " and not slow")
        spread = [] if self.alone else ["-n", str(num_workers), "--dist", "loadfile", "--no-loadscope-reorder"]
        return ["-m", chosen, *spread, "--backing", self.backing]


TOGETHER: Final = Pass("embedded", alone=False)
"""All of ``make test``."""

LATER: Final = (Pass("servers", alone=False), Pass("embedded", alone=True), Pass("servers", alone=True))
"""What ``make test-all`` adds."""


def runs_on(item: pytest.Item, backing: str) -> bool:
    """Whether a test runs on a backing: on the one that it names, else on both where there is a difference."""
    if marker := item.get_closest_marker("only"):
        return bool(marker.args[0] == backing)
    return backing == "embedded" or not DIFFERENCE.isdisjoint(getattr(item, "fixturenames", ()))


def write_lists(items: Sequence[pytest.Item], folder: Path) -> None:
    """Write down the node ids of each later pass."""
    for one in LATER:
        (folder / f"{one.key}.json").write_text(json.dumps([item.nodeid for item in items if one.holds(item)]))


@dataclass(frozen=True)
class Chosen:
    """Tests that an earlier pass wrote down: their files are collected and no others."""

    nodeids: frozenset[str]
    root: Path

    @classmethod
    def read(cls, file: Path, root: Path) -> "Chosen":
        return cls(frozenset(json.loads(file.read_text())), root)

    def leaves_out(self, path: Path) -> bool:
        """Whether neither the file is one of theirs, nor any file of the folder."""
        files = {self.root / nodeid.partition("::")[0] for nodeid in self.nodeids}
        return path not in files and not any(path in file.parents for file in files)

    def missing(self, items: Sequence[pytest.Item]) -> list[str]:
        """The tests that were not found again."""
        return sorted(self.nodeids - {item.nodeid for item in items})


def longest_first(items: list[pytest.Item], budget: dict[str, float]) -> None:
    """Order files by the time that they will take, as the budgets tell it: one that starts last keeps cores idle."""
    folders = [budgets.folder_of(item.nodeid, budget) for item in items]
    rates = {folder: budget.get(folder, 0.0) / count for folder, count in Counter(folders).items()}
    seconds: defaultdict[str, float] = defaultdict(float)
    for item, folder in zip(items, folders, strict=True):
        seconds[_file(item)] += rates[folder]
    items.sort(key=lambda item: (-seconds[_file(item)], _file(item)))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
