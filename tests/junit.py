"""What a test run has written down of itself, in JUnit's format."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

Result = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Case:
    """One test of a run."""

    module: str
    """With dots, as in ``tests.engine.pipeline.test_methods``."""
    name: str
    seconds: float
    """Set-up, call and tear-down."""
    result: Result

    @property
    def file(self) -> str:
        """The file that holds it.

        >>> Case("tests.infra.storage.test_store.TestFolder", "test_a", 0.1, "passed").file
        'tests/infra/storage/test_store.py'
        """
        parts = [part for part in self.module.split(".") if not part.startswith("Test")]
        return "/".join(parts) + ".py"

    def __str__(self) -> str:
        return f"{self.file}::{self.name}"


def read(report: str) -> list[Case]:
    """The tests of a report.

    >>> bad, good = (f'<testcase classname="tests.a" name="{name}" time="0.5">' for name in "xy")
    >>> [str(case) for case in read(f"<testsuites>{bad}<failure/></testcase>{good}</testcase></testsuites>")]
    ['tests/a.py::x', 'tests/a.py::y']
    """
    return [
        Case(case.get("classname", ""), case.get("name", ""), float(case.get("time", 0)), _result(case))
        for case in ElementTree.fromstring(report).iter("testcase")
    ]


def _result(case: ElementTree.Element) -> Result:
    if case.find("failure") is not None:
        return "failed"
    if case.find("error") is not None:
        return "error"
    return "passed" if case.find("skipped") is None else "skipped"


def counts(cases: Iterable[Case]) -> str:
    """How the tests ended, in the words of pytest's closing line.

    >>> counts([Case("a", name, 0.1, result) for name, result in zip("xyz", ("passed", "failed", "passed"))])
    '1 failed, 2 passed'
    """
    found = Counter(case.result for case in cases)
    named = {"failed": "failed", "passed": "passed", "skipped": "skipped", "error": "errors"}
    return ", ".join(f"{found[key]} {name}" for key, name in named.items() if found[key]) or "no tests ran"  # type: ignore[index]


def slowest(cases: Iterable[Case], count: int) -> list[Case]:
    """The tests that took longest, the longest first."""
    return sorted(cases, key=lambda case: -case.seconds)[:count]
