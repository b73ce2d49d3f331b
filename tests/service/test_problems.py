"""Every error has one shape, whoever raised it: us, the framework, or a bug."""

from typing import Any

import pytest

from jobspec.errors import Unavailable, catalogue
from tests.service.conftest import Running, Start

KEYS = {"type", "title", "status", "detail", "instance", "code", "errors", "suggestions", "request_id"}
JSON = {"Content-Type": "application/json"}
NOBODY = "0" * 20

ERRORS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "no such address": ("GET", "/v2/models", {}, 404, "not_found"),
    "no such thing": ("GET", f"/v1/jobs/job_{NOBODY}", {}, 404, "not_found"),
    "another method": ("PUT", "/v1/models", {}, 405, "method_not_allowed"),
    "a bad parameter": ("GET", "/v1/jobs?limit=x", {}, 422, "invalid_request"),
    "no body": ("POST", "/v1/jobs", {}, 422, "invalid_request"),
    "no JSON": ("POST", "/v1/jobs", {"content": b"{,}", "headers": JSON}, 422, "invalid_request"),
    "no object": ("POST", "/v1/jobs", {"content": b"[]", "headers": JSON}, 422, "invalid_request"),
    "no text": ("POST", "/v1/jobs", {"content": b"\xff\xfe", "headers": JSON}, 422, "invalid_request"),
    "half a character": ("POST", "/v1/jobs", {"content": b'{"\\ud800": 1}', "headers": JSON}, 422, "invalid_request"),
    "a null character": ("POST", "/v1/jobs", {"json": {"model_id": "mdl_\0"}}, 422, "invalid_request"),
    "a deep nest": ("POST", "/v1/jobs", {"content": b"[" * 100_000, "headers": JSON}, 422, "invalid_request"),
    "a form for JSON": ("POST", "/v1/jobs", {"data": {"model_id": "x"}}, 422, "invalid_request"),
    "a refused upload": ("POST", "/v1/models?name=a.pt", {"content": b"x"}, 415, "unsupported_format"),
}


@pytest.mark.parametrize(("method", "path", "sent", "status", "code"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_a_problem(
    method: str, path: str, sent: dict[str, Any], status: int, code: str, gateway: Running
) -> None:
    answer = gateway.http.request(method, path, **sent)

    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert set(problem) == KEYS
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/errors/{code}")
    assert problem["title"] == catalogue()[code].title
    assert problem["instance"] == path.partition("?")[0]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_a_wrong_method_names_the_right_ones(gateway: Running) -> None:
    answers = [gateway.http.put(path) for path in ("/v1/models", f"/v1/models/mdl_{NOBODY}", "/openapi.json")]

    assert [answer.headers["allow"] for answer in answers[:2]] == ["GET, POST", "DELETE, GET, PATCH"]
    assert "GET" in answers[2].headers["allow"]


def test_every_wrong_field_is_named_at_once(gateway: Running) -> None:
    """Correcting one slip after the other costs a round each."""
    spec = {"model_id": "x", "steps": [{"kind": "prune", "sparsity": 2}], "seed": -1}

    problem = gateway.http.post("/v1/jobs", json=spec).json()

    assert {error["field"] for error in problem["errors"]} == {
        "model_id",
        "dataset_id",
        "steps.0.sparsity",
        "seed",
    }


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [("abc-123", True), ("a" * 64, True), ("a" * 65, False), ("two words", False), ("<script>", False), ("", False)],
)
def test_a_harmless_request_id_is_kept(given: str, is_taken: bool, gateway: Running) -> None:
    """So that the logs of two services can be laid side by side; anything else could forge a log line."""
    answer = gateway.http.get("/v1/nowhere", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) is is_taken
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_answers_that_are_no_errors_carry_a_request_id_too(gateway: Running) -> None:
    first, second = (gateway.http.get("/").headers["x-request-id"] for _ in range(2))

    assert first != second


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models", f"/v1/jobs/job_{NOBODY}"])
def test_a_database_that_is_away_is_503_with_the_time_to_come_back(path: str, start: Start) -> None:
    with start(migrated=False, database_url="postgresql://nobody@127.0.0.1:1/nothing") as gateway:
        answer = gateway.http.get(path)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "nobody" not in answer.text


class _Bug(Exception):
    pass


@pytest.mark.parametrize("fault", [_Bug("secret"), Unavailable("The moon is away.")], ids=["a bug", "a known fault"])
def test_a_fault_of_ours_tells_no_secrets(fault: Exception, fresh: Running) -> None:
    """Whoever meets it gets an id to quote; the rest stands in the log."""

    def fail() -> None:
        raise fault

    fresh.app.add_api_route("/fail", fail)

    answer = fresh.http.get("/fail")

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == getattr(fault, "status", 500)
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_discovery_leads_to_what_is_there(gateway: Running) -> None:
    """A client needs to know one address."""
    found = gateway.http.get("/").json()
    links = [value for key, value in found.items() if key.endswith("_url")]

    assert len(links) == 10
    assert {link: gateway.http.get(link).status_code for link in links if link != "/health/ready"} == {
        link: 200 for link in links if link != "/health/ready"
    }
