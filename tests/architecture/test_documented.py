"""What a user can meet is written down, and what is written down can be met."""

import re
from pathlib import Path

from infra.settings import Settings
from secateur import errors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"^\| `SECATEUR_([A-Z_]+)`", text, flags=re.MULTILINE))

    assert documented == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `SECATEUR_{name.upper()}`"))
        default = field.default
        assert default in (None, "") or f"`{default}`" in row, row


def test_every_error_code_is_documented_with_its_status_and_no_other() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", text, flags=re.MULTILINE))

    assert documented == {code: str(error.status) for code, error in errors.catalogue().items()}


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", README, flags=re.MULTILINE))

    assert {"demo", "test", "test-all", "up", "check"} <= named <= targets


def test_the_files_that_the_documents_link_to_exist() -> None:
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
    missing = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
        if not (document.parent / link).exists()
    ]

    assert not missing


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))

    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert all(name in text for name in names)
