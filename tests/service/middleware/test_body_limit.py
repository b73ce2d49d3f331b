"""A body that is no upload is read into memory, and so must not be long."""

from collections.abc import Iterator

import pytest

from tests.service.conftest import Running
from tests.service.inputs import pair

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")


def pieces(num_bytes: int) -> Iterator[bytes]:
    for _ in range(num_bytes // 65536):
        yield b" " * 65536


@pytest.mark.parametrize("told", [True, False], ids=["length told", "in pieces"])
def test_a_body_that_is_too_large_is_refused(told: bool, gateway: Running) -> None:
    content = b" " * (2 << 20) if told else pieces(2 << 20)

    answer = gateway.http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "SECATEUR_MAX_BODY_BYTES" in answer.json()["suggestions"][0]


def test_a_body_as_large_as_allowed_is_read(gateway: Running) -> None:
    spec = pair(gateway).spec()
    answer = gateway.http.post("/v1/jobs", json=spec | {"labels": {"x" * 10: "y" * 200}})

    assert answer.status_code == 202


@pytest.mark.parametrize("path", ["/v1/models/mdl_0", "/v1/datasets/dst_0", "/v1/jobs/job_0"])
def test_a_change_of_an_upload_is_no_upload(path: str, gateway: Running) -> None:
    """Only what streams to the disk may be long; a change is read into memory, also of what is not there."""
    answer = gateway.http.patch(path, content=b" " * (2 << 20), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
