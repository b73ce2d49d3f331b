"""The OpenAPI document that is kept is the one that the code makes, and it is a good one."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from infra.settings import Settings
from service.__main__ import document
from service.app import create_app

KEPT = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture
def described(tmp_path: Path) -> dict[str, Any]:
    return create_app(Settings(data_dir=tmp_path)).openapi()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_kept_document_is_what_the_code_makes() -> None:
    """Clients are written against docs/openapi.json. Renew it: python -m service openapi > docs/openapi.json"""
    assert KEPT.read_text() == document()


def test_the_command_prints_the_document_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "openapi"]

    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=KEPT.parents[1])

    assert done.stdout == KEPT.read_text()
    assert done.stderr == ""


def test_the_document_is_valid_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []


def test_the_validator_sees_what_is_wrong(described: dict[str, Any]) -> None:
    """A check that cannot fail is a defect."""
    del described["info"]["version"]

    assert list(OpenAPIV31SpecValidator(described).iter_errors())


def test_operation_ids_are_unique(described: dict[str, Any]) -> None:
    """Code generators make function names of them."""
    names = [operation["operationId"] for _, operation in operations(described)]

    assert len(names) == len(set(names))


def test_every_operation_declares_its_errors_as_problems(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert "500" in errors, name
        if operation.get("parameters") or "requestBody" in operation:
            assert "422" in errors, name
        for status, answer in errors.items():
            if (name, status) != ("GET /health/ready", "503"):  # tells what is missing instead
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
                assert set(answer["content"]) == {"application/problem+json"}, (name, status)


def test_every_operation_stands_in_the_tour_and_no_other(described: dict[str, Any]) -> None:
    """What is not written down is not there for whoever reads docs/api.md first."""
    told = set(
        re.findall(r"`((?:GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) /[^` ]*)`", (KEPT.parent / "api.md").read_text())
    )

    assert told == {name for name, _ in operations(described)}


def test_no_error_of_the_framework_is_left_in_the_document(described: dict[str, Any]) -> None:
    assert "ValidationError" not in str(described)
