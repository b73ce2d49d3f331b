"""No test says how soon something must be done: machines are shared, and what is fast enough is for benchmarks."""

import ast
from pathlib import Path
from typing import Final

TESTS = Path(__file__).parents[1]
CLOCKS: Final = {"monotonic", "perf_counter", "process_time", "time"}


def upper_bounds(source: str) -> list[int]:
    """Lines that assert that a clock has not gone further than something.

    >>> upper_bounds("assert time.monotonic() - start < 5")
    [1]
    >>> upper_bounds("assert 1 < clock.perf_counter() - start <= 5")
    [1]
    >>> upper_bounds("assert time.monotonic() - start >= 1")
    []
    """
    asserted = (node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert))
    compared = (node for test in asserted for node in ast.walk(test) if isinstance(node, ast.Compare))
    return sorted({node.lineno for node in compared if _is_bounded_above(node)})


def _is_bounded_above(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    pairs = zip(sides, node.ops, sides[1:], strict=False)
    return any(
        (isinstance(op, ast.Lt | ast.LtE) and _reads_a_clock(left))
        or (isinstance(op, ast.Gt | ast.GtE) and _reads_a_clock(right))
        for left, op, right in pairs
    )


def _reads_a_clock(side: ast.expr) -> bool:
    calls = (node.func for node in ast.walk(side) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in CLOCKS for call in calls)


def test_no_test_asserts_how_soon_something_is_done() -> None:
    """Let it run into a time-out that is long enough for a busy machine, or compare what happened in which order."""
    bounds = {str(path.relative_to(TESTS)): upper_bounds(path.read_text()) for path in sorted(TESTS.rglob("test_*.py"))}

    assert not {name: lines for name, lines in bounds.items() if lines}
