"""Tests of what keeps state run on every backing: none of them may choose one by itself."""

import re
from pathlib import Path
from typing import Final

TESTS = Path(__file__).parents[1]
PACKAGES = ("infra", "service", "workers", "secateur", "e2e", "hostile", "chaos", "deploy")
CHOICES: Final = re.compile(r"Settings\(data_dir|sqlite:///|Store\.from_url\(\(|file:///")
"""How a database or a store of one kind is asked for."""

REASONS: Final = {
    "chaos/__main__.py": "a command, not a test",
    "infra/db/test_database.py": "a database that is not there",
    "infra/test_private_files.py": "the modes of files on a disk",
    "infra/storage/test_store.py": "what a folder is in the way of, and where the default one lies",
    "service/monitoring/test_metrics.py": "a database that is not there",
    "service/http/test_openapi.py": "an application that is never started",
    "service/middleware/test_process.py": "which modules a gateway loads",
}


def choosers() -> list[str]:
    """Files of tests that choose."""
    files = [file for package in PACKAGES for file in (TESTS / package).rglob("*.py")]
    return sorted(str(file.relative_to(TESTS)) for file in files if CHOICES.search(file.read_text()))


def test_a_test_leaves_the_choice_of_database_and_store_to_its_run() -> None:
    """Ask the fixture ``backing`` for settings; what is about SQLite or folders as such stands in the list above."""
    assert set(choosers()) - REASONS.keys() == set()


def test_the_list_of_reasons_names_only_files_that_choose() -> None:
    assert REASONS.keys() - set(choosers()) == set()
