"""The Python client against answers made to order: what goes right, and every way in which it can go wrong."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from secateur.client import api
from secateur.client.api import Secateur
from secateur.client.views import Artifact, Job
from secateur.errors import ArchiveUnreadable, InternalError, InvalidRequest, SecateurError, Unavailable, UnknownLayer

JOB = {"id": "job_1", "kind": "compress", "state": "running", "steps": [], "attempt": 1, "news": "from the future"}


def service(answer: Callable[[httpx.Request], httpx.Response]) -> Secateur:
    """A client of a service that answers like this."""
    return Secateur("http://service/", transport=httpx.MockTransport(answer))


def test_an_error_arrives_as_the_exception_that_the_service_raised() -> None:
    """Code that uses the client can catch what it can handle, and its user sees how to fix the rest."""
    problem = {
        "code": "unknown_layer",
        "detail": "The model has no layer 'dense'.",
        "errors": [{"field": "steps.0.layers", "messages": ["unknown layer 'dense'"]}],
        "suggestions": ["Layers with a similar name: dense_1."],
    }

    with pytest.raises(UnknownLayer) as caught:
        service(lambda request: httpx.Response(422, json=problem)).submit({})

    assert caught.value.detail == problem["detail"]
    assert caught.value.suggestions == ("Layers with a similar name: dense_1.",)
    assert caught.value.errors[0].field == "steps.0.layers"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param(httpx.Response(502, text="<html>Bad gateway"), Unavailable, id="a proxy's page"),
        pytest.param(httpx.Response(500, json=["no problem"]), InternalError, id="another service's error"),
        pytest.param(httpx.Response(418, json={"code": "teapot", "detail": "d"}), InvalidRequest, id="a newer code"),
        pytest.param(httpx.Response(200, text="hello"), InternalError, id="no JSON"),
        pytest.param(httpx.Response(200, json={"id": 1}), InternalError, id="other JSON"),
    ],
)
def test_an_answer_of_another_kind_is_still_a_typed_error(
    response: httpx.Response, expected: type[SecateurError]
) -> None:
    """Proxies, wrong addresses and newer services all answer something."""
    with pytest.raises(SecateurError) as caught:
        service(lambda request: response).job("job_1")

    assert type(caught.value) is expected


def test_no_answer_says_where_it_was_sought_and_what_to_do() -> None:
    """The commonest first experience: the service is not running."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with pytest.raises(Unavailable, match="http://service: Connection refused") as caught:
        service(refuse).readiness()

    assert "make up" in caught.value.suggestions[0]


def test_an_upload_streams_its_bytes_with_length_and_digest(tmp_path: Path) -> None:
    """So the service can refuse early, and notice what the network damaged."""
    file = tmp_path / "data.npz"
    content = bytes(range(256)) * 4096
    file.write_bytes(content)
    seen: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        seen.append((request.url, dict(request.headers), request.read()))
        upload = {"id": "dst_1", "name": "data.npz", "digest": "d", "num_bytes": 1, "state": "checking"}
        return httpx.Response(201, json=upload)

    progress: list[tuple[int, int]] = []
    upload = service(take).upload_dataset(file, scale="1/255", on_bytes=lambda *at: progress.append(at))

    (url, headers, body) = seen[0]
    assert upload.id == "dst_1"
    assert dict(url.params) == {"name": "data.npz", "scale": "1/255"}
    assert body == content
    assert headers["content-length"] == str(len(content))
    assert "transfer-encoding" not in headers
    assert headers["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    assert progress == [(262144, 1048576), (524288, 1048576), (786432, 1048576), (1048576, 1048576)]


def test_waiting_for_a_check_raises_why_it_was_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected upload is an error of the caller's, with the checker's own words."""
    monkeypatch.setattr(api, "CHECK_POLL_SECONDS", (0.0, 0.0))
    failure = {"code": "archive_unreadable", "title": "t", "detail": "cut", "blame": "request", "retryable": False}
    upload = {"id": "mdl_1", "name": "m", "digest": "d", "num_bytes": 1, "failure": None}
    answers = iter([upload | {"state": "checking"}, upload | {"state": "rejected", "failure": failure}])

    with pytest.raises(ArchiveUnreadable, match="cut"):
        service(lambda request: httpx.Response(200, json=next(answers))).wait_ready("model", "mdl_1")


def test_waiting_for_a_job_tells_every_change_and_survives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is updated meanwhile must not end anybody's script."""
    monkeypatch.setattr(api, "OUTAGE_PAUSE_SECONDS", 0.0)
    away = httpx.Response(503, json={"code": "unavailable", "detail": "restarting"})
    answers = iter([httpx.Response(200, json=JOB), away, away, httpx.Response(200, json=JOB | {"state": "failed"})])
    told: list[Job] = []

    ended = service(lambda request: next(answers)).wait("job_1", on_progress=told.append)

    assert ended.state == "failed"
    assert [job.state for job in told] == ["running", "failed"]


def test_a_job_id_cannot_reach_another_address() -> None:
    """Ids come from command lines and scripts."""
    paths: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json=JOB)

    service(note).job("../models?x=1")

    assert paths == ["/v1/jobs/..%2Fmodels%3Fx%3D1?wait=0"]


def artifact(content: bytes) -> Artifact:
    digest = hashlib.sha256(content).hexdigest()
    return Artifact(name="model.tflite", media_type="x", digest=f"sha256:{digest}", num_bytes=len(content))


def test_a_download_replaces_the_old_file(tmp_path: Path) -> None:
    """Results of an earlier run may lie there."""
    (tmp_path / "model.tflite").write_bytes(b"old")

    path = service(lambda request: httpx.Response(200, content=b"new")).download("job_1", artifact(b"new"), tmp_path)

    assert path == tmp_path / "model.tflite"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(httpx.Response(200, content=b"damaged"), id="other bytes"),
        pytest.param(httpx.Response(500, json={"code": "internal_error", "detail": "lost"}), id="an error"),
    ],
)
def test_a_download_that_fails_leaves_the_old_file_and_nothing_else(response: httpx.Response, tmp_path: Path) -> None:
    """Half a model is worse than none."""
    (tmp_path / "model.tflite").write_bytes(b"old")

    with pytest.raises(InternalError):
        service(lambda request: response).download("job_1", artifact(b"new"), tmp_path)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.tflite", b"old")]


def test_what_is_submitted_is_sent_as_it_is() -> None:
    """The service fills in defaults; a client that did would have to be updated with it."""
    bodies: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(202, json=JOB)

    service(take).submit({"preset": "small", "model_id": "mdl_1"})

    assert bodies == [{"preset": "small", "model_id": "mdl_1"}]


def told(number: int, kind: str = "log") -> dict[str, Any]:
    at = "2030-01-01T00:00:00Z"
    return {"number": number, "attempt": 1, "at": at, "kind": kind, "level": "info", "body": {"message": "a"}}


def test_events_are_followed_page_by_page_to_the_end_and_through_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is being restarted costs a second, not an event."""
    monkeypatch.setattr(api, "OUTAGE_PAUSE_SECONDS", 0.0)
    answers = iter(
        [
            httpx.Response(200, json={"data": [told(1), told(2)], "next_after": 2, "ended": False}),
            httpx.Response(503, json={}),
            httpx.Response(200, json={"data": [], "next_after": 2, "ended": False}),
            httpx.Response(200, json={"data": [told(3, "state")], "next_after": 3, "ended": True}),
        ]
    )
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return next(answers)

    found = list(service(answer).events("job_1", level="warning", kinds=["log", "state"], follow=True))

    assert [event.number for event in found] == [1, 2, 3]
    assert [params["after"] for params in asked] == ["0", "2", "2", "2"]
    assert (asked[0]["level"], asked[0].get_list("kind")) == ("warning", ["log", "state"])


def test_events_without_following_end_with_what_there_is() -> None:
    answers = iter([[told(1)], []])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": next(answers), "next_after": 1, "ended": False})

    assert [event.number for event in service(answer).events("job_1")] == [1]


def test_a_job_is_submitted_with_the_key_and_the_force_of_its_caller() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(202, json=JOB)

    service(answer).submit({}, force=True, idempotency_key="k")
    service(answer).submit({})
    service(answer).retry("job_1")

    assert (asked[0].url.params["force"], asked[0].headers["idempotency-key"]) == ("true", "k")
    assert ("force" in asked[1].url.params, "idempotency-key" in asked[1].headers) == (False, False)
    assert asked[2].url.path == "/v1/jobs/job_1/retry"
