"""Every error has one shape, whoever raised it: us, the framework, or a bug."""

from typing import Any

import pytest

from secateur.errors import Unavailable, catalogue
from tests.service.conftest import Running, Start

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

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


SPEC: dict[str, Any] = {"model_id": f"mdl_{NOBODY}", "dataset_id": f"dst_{NOBODY}"}
PRUNE: dict[str, Any] = {"kind": "prune", "sparsity": 0.5}
ADVICE: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "an address": ("GET", "/v1/job", {}, "Did you mean /v1/jobs?"),
    "an address inside": ("GET", f"/v1/jobs/job_{NOBODY}/evnts", {}, f"Did you mean /v1/jobs/job_{NOBODY}/events?"),
    "a slash behind": ("GET", "/v1/jobs/", {}, "Did you mean /v1/jobs?"),
    "no version": ("GET", "/models", {}, "Did you mean /v1/models?"),
    "a method": ("PUT", "/v1/models", {}, "It answers to GET, POST."),
    "a choice": (
        "POST",
        "/v1/jobs",
        {"json": SPEC | {"preset": "balancd"}},
        "Did you mean balanced instead of balancd?",
    ),
    "per cent": (
        *("POST", "/v1/jobs", {"json": SPEC | {"steps": [PRUNE | {"sparsity": "90%"}]}}),
        "Write 0.9 for 90%.",
    ),
    "a share": (
        *("POST", "/v1/jobs", {"json": SPEC | {"steps": [PRUNE | {"sparsity": 90}]}}),
        "sparsity is a share: write 0.9 for 90 %.",
    ),
    "hours": (
        *("POST", "/v1/jobs", {"json": SPEC | {"steps": [PRUNE], "limits": {"max_runtime_seconds": "2h"}}}),
        "Write 7200 for 2h.",
    ),
    "a unit": ("GET", f"/v1/jobs/job_{NOBODY}?wait=10s", {}, "Write 10 for 10s."),
    "a field": (
        "PUT",
        "/v1/limits/ann",
        {"json": {"running_job": 1}},
        "Did you mean running_jobs instead of running_job?",
    ),
    "no schema of a job": (
        "PUT",
        "/v1/limits/ann",
        {"json": {"queued_jobs": "x"}},
        "/docs describes PUT /v1/limits/{owner}.",
    ),
    "a filter": ("GET", "/v1/jobs?sate=failed", {}, "Did you mean state instead of sate?"),
    "a declaration": (
        "POST",
        "/v1/datasets?name=t.csv&lable=b",
        {"content": b"x"},
        "Did you mean label or labels instead of lable?",
    ),
    "the other file": ("POST", "/v1/models?name=d.npz", {"content": b"x"}, "This is a file of data"),
}


@pytest.mark.parametrize(("method", "path", "sent", "advice"), ADVICE.values(), ids=ADVICE)
def test_what_is_nearly_right_is_answered_with_what_is(
    method: str, path: str, sent: dict[str, Any], advice: str, gateway: Running
) -> None:
    """Reading documentation to find a typing error is work that a machine can do."""
    answer = gateway.http.request(method, path, **sent)

    assert answer.status_code >= 400
    assert answer.json()["suggestions"][0].startswith(advice)


def test_of_very_many_mistakes_a_hundred_are_told(gateway: Running) -> None:
    """Each costs time in which nobody else is answered, and nobody reads them all."""
    answer = gateway.http.post("/v1/jobs", json={f"sparsit{number}": 1 for number in range(20_000)}, timeout=60)

    problem = answer.json()
    assert (answer.status_code, len(problem["errors"]), len(problem["suggestions"])) == (422, 100, 10)
    assert problem["detail"].endswith("more")
    assert len(answer.content) < 50_000


def test_an_id_that_is_none_is_told_in_words(gateway: Running) -> None:
    """Also the steps that a preset would give are not missing when the preset is none."""
    problem = gateway.http.post("/v1/jobs", json=SPEC | {"model_id": "model.keras", "preset": "tiny"}).json()

    told = {error["field"]: error["messages"][0] for error in problem["errors"]}
    assert told.keys() == {"model_id", "preset"}
    assert told["model_id"].startswith("expected the id of a model")


def test_a_parameter_that_nobody_reads_is_refused_where_it_would_change_what_comes(gateway: Running) -> None:
    """A filter that is misspelt would show everything; a declaration that is misspelt would train on something else."""
    refused = gateway.http.get("/v1/models?limt=3&cursr=x").json()

    assert [error["field"] for error in refused["errors"]] == ["cursr", "limt"]
    assert gateway.http.get("/?utm_source=mail").status_code == 200, "here nothing could be meant"
