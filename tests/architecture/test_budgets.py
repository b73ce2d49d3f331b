"""Every folder of tests has its budget: the runner prints them, and starts long files first by them."""

from pathlib import Path

from tests import budgets

ROOT = Path(__file__).parents[2]
FOLDERS = {f"tests/{path.parent.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/*/**/test_*.py")}


def test_every_folder_of_tests_has_a_budget() -> None:
    """Folders below those may have one of their own. Folders whose tests are all alone are not run by make test."""
    assert FOLDERS - budgets.read("test-all").keys() == set()
    assert FOLDERS - budgets.read("test").keys() <= {"tests/chaos", "tests/outages"}


def test_every_budget_is_for_a_folder_that_is_there() -> None:
    named = budgets.read("test-all").keys() | budgets.read("test").keys()

    assert {folder for folder in named - {budgets.DOCTESTS} if not (ROOT / folder).is_dir()} == set()
