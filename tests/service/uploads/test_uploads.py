"""Uploads: what comes in is stored once, by content, and what is refused leaves nothing."""

import base64
import hashlib
import threading
from typing import Any

import httpx
import pytest

from infra.jobs import queries
from infra.jobs.lifecycle import Outcome
from secateur.errors import ModelUnreadable
from secateur.protocol.states import JobState
from tests.service.conftest import Running, Start, dataset_file, eventually, messages, model_file
from tests.service.inputs import end, job


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_header(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def test_a_raw_body_becomes_a_model_with_a_check_on_its_way(gateway: Running, broker: str) -> None:
    """The message carries an id and nothing else: the row is the truth."""
    content = model_file("raw")

    answer = gateway.http.post("/v1/models", params={"name": "lenet.keras"}, content=content)

    assert answer.status_code == 201
    model = answer.json()
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert (model["name"], model["digest"], model["num_bytes"]) == ("lenet.keras", sha256(content), len(content))
    assert (model["state"], model["format"], model["summary"], model["failure"]) == ("checking", "keras", None, None)
    assert gateway.http.get(answer.headers["location"]).json() == model
    checks = gateway.http.get("/v1/jobs", params={"kind": "check_model", "limit": 1}).json()["data"]
    assert messages(broker, "checks") == [[checks[0]["id"]]]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param('attachment; filename="a.keras"', "a.keras", id="plain"),
        pytest.param("attachment; filename*=UTF-8''m%C3%BCde.keras", "müde.keras", id="encoded"),
        pytest.param('attachment; filename="../../etc/a.keras"', "a.keras", id="path"),
        pytest.param('attachment; filename="C:\\\\me\\\\a.keras"', "a.keras", id="Windows path"),
    ],
)
def test_the_name_can_come_in_content_disposition(header: str, expected: str, gateway: Running) -> None:
    content = model_file(f"named_{sha256(header.encode())[7:]}")

    answer = gateway.http.post("/v1/models", content=content, headers={"Content-Disposition": header})

    assert answer.json()["name"] == expected


def test_a_form_is_the_same_as_a_raw_body(gateway: Running) -> None:
    """Browsers and ``curl -F`` send forms; fields that we do not know may stand around the file."""
    content = dataset_file(11)

    answer = gateway.http.post("/v1/datasets", data={"note": "x" * 100_000}, files={"file": ("my.npz", content)})

    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["digest"]) == ("my.npz", sha256(content))


def test_known_content_is_answered_with_what_is_here(gateway: Running) -> None:
    """Stored once, checked once, under its first name."""
    content = model_file("twice")
    first = gateway.http.post("/v1/models", params={"name": "one.keras"}, content=content)
    before = gateway.traces()

    second = gateway.http.post("/v1/models", params={"name": "two.keras"}, content=content)

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert gateway.traces() == before


def test_the_same_data_with_another_scale_is_another_data_set_of_the_same_bytes(gateway: Running) -> None:
    """The scale is a part of what the numbers mean."""
    content = dataset_file(12)
    plain = gateway.http.post("/v1/datasets", params={"name": "a.npz"}, content=content).json()
    before = gateway.stored()

    scaled = gateway.http.post("/v1/datasets", params={"name": "a.npz", "scale": "1/255"}, content=content).json()

    assert (plain["scale"], scaled["scale"]) == ("none", "1/255")
    assert plain["id"] != scaled["id"]
    assert gateway.stored() == before


def test_a_right_digest_is_accepted(gateway: Running) -> None:
    content = model_file("digest")
    headers = {"Repr-Digest": digest_header(content)}

    answer = gateway.http.post("/v1/models", params={"name": "a.keras"}, content=content, headers=headers)

    assert answer.status_code == 201


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.keras"\r\n\r\n'
NAMED: dict[str, Any] = {"params": {"name": "a.keras"}, "content": b"x"}
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({"content": b"x"}, 400, "upload_incomplete"),
    "a folder for a name": (NAMED | {"params": {"name": "a/"}}, 415, "unsupported_format"),
    "a name of nothing": (NAMED | {"params": {"name": "/"}}, 400, "upload_incomplete"),
    "an unprintable name": (NAMED | {"params": {"name": "a\n.keras"}}, 400, "upload_incomplete"),
    "an overlong name": (NAMED | {"params": {"name": "a" * 300 + ".keras"}}, 422, "invalid_request"),
    "another ending": (NAMED | {"params": {"name": "a.pt"}}, 415, "unsupported_format"),
    "no bytes": (NAMED | {"content": b""}, 422, "upload_empty"),
    "no archive": (NAMED, 422, "archive_unreadable"),
    "another digest": (NAMED | {"headers": {"Repr-Digest": digest_header(b"y")}}, 400, "upload_incomplete"),
    "half a digest": (NAMED | {"headers": {"Content-Digest": "sha-256=:eA==:"}}, 400, "upload_incomplete"),
    "another hash": (NAMED | {"headers": {"Content-Digest": "md5=:eA==:"}}, 400, "upload_incomplete"),
    "a form without the file": ({"files": {"model": ("a.keras", b"x")}}, 400, "upload_incomplete"),
    "a form with two files": (
        {"files": [("file", ("a.keras", b"x")), ("file", ("b.keras", b"x"))]},
        400,
        "upload_incomplete",
    ),
    "a file without a name": ({"data": {"file": "x"}, "files": {"other": b""}}, 400, "upload_incomplete"),
    "an empty file in a form": ({"files": {"file": ("a.keras", b"")}}, 422, "upload_empty"),
    "a form without an end": ({"content": PART + b"half a file", "headers": BOUNDARY}, 400, "upload_incomplete"),
    "a form that is none": ({"content": b"junk", "headers": BOUNDARY}, 400, "upload_incomplete"),
    "a form without a boundary": (
        {"content": PART, "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "upload_incomplete",
    ),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_how_to_do_it_and_leaves_nothing(
    request_: dict[str, Any], status: int, code: str, gateway: Running
) -> None:
    before = gateway.traces()

    answer = gateway.http.post("/v1/models", **request_)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["suggestions"]
    assert gateway.traces() == before


def test_what_is_declared_of_a_table_is_a_part_of_what_it_is(gateway: Running) -> None:
    content = b"x,species\n1,cat\n2,dog\n"
    query = {"name": "pets.csv", "label": "species", "classes": "dog,cat", "scale": '{"mean": 1, "deviation": 2}'}

    first = gateway.http.post("/v1/datasets", params=query, content=content)
    again = gateway.http.post("/v1/datasets", params=query, content=content)
    other = gateway.http.post("/v1/datasets", params=query | {"classes": "cat,dog"}, content=content)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    reading = first.json()["reading"]
    assert (first.json()["format"], reading["label"], reading["classes"]) == ("csv", "species", ["dog", "cat"])
    assert first.json()["scale"] == {"mean": 1.0, "deviation": 2.0}
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"image_size": "8x8"}, "reading_mismatch", "image_size"),
        ({"test_share": "all"}, "invalid_request", "test_share"),
        ({"features": "{"}, "invalid_request", "features"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_before_a_byte_is_kept(
    gateway: Running, query: dict[str, str], code: str, field: str
) -> None:
    before = gateway.traces()

    answer = gateway.http.post("/v1/datasets", params={"name": "a.csv"} | query, content=b"x,label\n1,2\n")

    assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == (code, field)
    assert gateway.traces() == before


def test_a_refusal_of_the_format_names_what_is_accepted(gateway: Running) -> None:
    answer = gateway.http.post("/v1/datasets", params={"name": "a.tsv"}, content=b"1\t2")

    assert answer.status_code == 415
    assert ".npz" in answer.json()["detail"]


def head(**headers: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in ({"Host": "localhost"} | headers).items()]
    return "\r\n".join(["POST /v1/models?name=a.keras HTTP/1.1", *lines, "", ""]).encode()


@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["at once", "after asking"])
def test_a_length_past_the_limit_is_refused_before_a_byte_is_sent(expect: dict[str, str], start: Start) -> None:
    """The client has sent nothing but its headers; with ``Expect`` it is spared the bytes."""
    with start(max_upload_bytes=1000) as gateway, gateway.connect() as connection:
        connection.sendall(head(**{"Content-Length": str(1001)} | expect))

        answer = connection.recv(65536)

        assert answer.startswith(b"HTTP/1.1 413")
        assert gateway.traces() == (set(), (0, 0))


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_bytes_past_the_limit_are_refused_when_they_come(form: bool, start: Start) -> None:
    """A client that does not tell the length is stopped as soon as it has sent too much."""

    def overlong(start: bytes) -> Any:
        yield start
        for _ in range(2000):
            yield b"x" * 65536

    headers = BOUNDARY if form else {}
    with start(max_upload_bytes=1 << 20) as gateway:
        content = overlong(PART if form else b"")
        try:
            answer = gateway.http.post("/v1/models?name=a.keras", content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
        except (httpx.WriteError, httpx.RemoteProtocolError):
            pass  # the answer was lost because the client was still sending; that it was stopped is what counts

        assert eventually(lambda: gateway.traces() == (set(), (0, 0)))


def test_a_form_of_exactly_the_limit_is_accepted(start: Start) -> None:
    """The limit is on the file; what a form wraps around it does not count."""
    content = model_file("limit")

    with start(max_upload_bytes=len(content)) as gateway:
        answer = gateway.http.post("/v1/models", files={"file": ("a.keras", content)})

    assert answer.status_code == 201


def test_rejected_content_that_comes_again_is_checked_again(gateway: Running, broker: str) -> None:
    """The reason may have been ours, and a newer version may take it."""
    content = model_file("rejected")
    first = gateway.http.post("/v1/models?name=a.keras", content=content).json()
    (check,) = messages(broker, "checks")[0]
    refused = ModelUnreadable("No.", suggestions=["Save it again."])
    end(gateway, check, Outcome(JobState.FAILED, failure=refused.failure("check")))
    rejected = gateway.http.get(f"/v1/models/{first['id']}").json()
    gateway.parts.store.delete(first["digest"])  # as the worker does

    again = gateway.http.post("/v1/models?name=a.keras", content=content)

    assert (rejected["state"], rejected["failure"]["code"]) == ("rejected", "model_unreadable")
    assert again.status_code == 201
    assert (again.json()["id"], again.json()["state"], again.json()["failure"]) == (first["id"], "checking", None)
    assert len(messages(broker, "checks")) == 2
    assert any(first["digest"].removeprefix("sha256:") in path for path in gateway.stored())


def test_the_same_content_from_many_at_once_is_one_upload(gateway: Running, broker: str) -> None:
    """Whoever is first gets 201, the others the same row."""
    content = model_file("many")
    barrier = threading.Barrier(8)
    answers: list[httpx.Response] = []

    def upload() -> None:
        with httpx.Client(base_url=gateway.url, timeout=30) as client:
            barrier.wait()
            answers.append(client.post("/v1/models?name=a.keras", content=content))

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(messages(broker, "checks")) == 1
    assert sum(sha256(content)[7:] in path for path in gateway.stored()) == 1
    assert not any("staging" in path for path in gateway.stored())


def test_an_upload_is_accepted_although_the_broker_is_away(start: Start) -> None:
    """Its row waits for a sweep, and says that no message was sent."""
    with start(broker_url="redis+socket:///nowhere/broker.sock") as gateway:
        answer = gateway.http.post("/v1/models?name=a.keras", content=model_file("away"))

        with gateway.parts.database.read() as session:
            (check,) = queries.page(session, queries.Filter(kind="check_model"), limit=2)
    assert answer.status_code == 201
    assert check.published_at is None


def test_an_upload_that_cannot_be_written_down_is_not_kept(start: Start) -> None:
    """Bytes without a row would stay forever."""
    with start(migrated=False) as gateway:
        answer = gateway.http.post("/v1/models?name=a.keras", content=model_file("unwritten"))

        assert answer.status_code == 503
        assert gateway.stored() == set()


def test_deleting_takes_row_check_and_bytes(fresh: Running) -> None:
    model = fresh.http.post("/v1/models?name=a.keras", content=model_file("deleted")).json()

    answer = fresh.http.delete(f"/v1/models/{model['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert fresh.traces() == (set(), (0, 0))
    assert fresh.http.delete(f"/v1/models/{model['id']}").status_code == 404


def test_bytes_that_something_else_needs_stay(fresh: Running) -> None:
    content = dataset_file(13)
    one = fresh.http.post("/v1/datasets?name=a.npz", content=content).json()
    two = fresh.http.post("/v1/datasets?name=a.npz&scale=1/255", content=content).json()

    fresh.http.delete(f"/v1/datasets/{one['id']}")
    between = fresh.stored()
    fresh.http.delete(f"/v1/datasets/{two['id']}")

    assert len(between) == 1
    assert fresh.stored() == set()


def test_what_an_unfinished_job_needs_cannot_be_deleted(fresh: Running) -> None:
    """The answer names the job, so that it can be cancelled."""
    job_id = job(fresh)
    needed = fresh.http.get(f"/v1/jobs/{job_id}").json()["spec"]
    addresses = [f"/v1/models/{needed['model_id']}", f"/v1/datasets/{needed['dataset_id']}"]

    refused = [fresh.http.delete(address) for address in addresses]
    fresh.http.post(f"/v1/jobs/{job_id}/cancel")
    allowed = [fresh.http.delete(address) for address in addresses]

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "in_use")] * 2
    assert all(job_id in answer.json()["detail"] for answer in refused)
    assert [answer.status_code for answer in allowed] == [204, 204]


def test_the_operator_moves_the_bounds_on_what_an_upload_may_cost(start: Start) -> None:
    """One call of a layer is less than the smallest model has."""
    with start(max_layer_calls=1) as gateway:
        answer = gateway.http.post("/v1/models?name=a.keras", content=model_file("costly"))

        assert (answer.status_code, answer.json()["code"]) == (422, "upload_too_costly")
        assert "SECATEUR_MAX_LAYER_CALLS" in answer.json()["suggestions"][-1]
        assert gateway.stored() == set()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_of_the_other_kind_is_not_found_and_told_apart(method: str, gateway: Running) -> None:
    dataset = gateway.http.post("/v1/datasets?name=a.npz", content=dataset_file(14)).json()

    answer = gateway.http.request(method, f"/v1/models/{dataset['id']}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "a data set" in answer.json()["detail"]
