"""Uploads that are good: by body and by form, once and again, small and large."""

import base64
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.tables import Job, Upload
from tests.badfiles import good_npz, keras_file, sequential
from tests.service.gateway import World, digest_of, other_npz, problem_of

MODEL = keras_file(sequential())


def raw(world: World, path: str, name: str, content: bytes, **headers: str) -> httpx.Response:
    return world.http.post(path, params={"name": name}, content=content, headers=headers)


def by_disposition(world: World, path: str, name: str, content: bytes, **headers: str) -> httpx.Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return world.http.post(path, content=content, headers=disposition | headers)


def form(world: World, path: str, name: str, content: bytes, **headers: str) -> httpx.Response:
    return world.http.post(path, files={"file": (name, content)}, data={"comment": "hello"}, headers=headers)


WAYS = [
    pytest.param(raw, id="raw body"),
    pytest.param(by_disposition, id="raw body, name in a header"),
    pytest.param(form, id="form"),
]


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        pytest.param("/v1/models", "my model.keras", MODEL, id="model"),
        pytest.param("/v1/datasets", "digits.npz", good_npz(), id="data set"),
    ],
)
def test_an_upload_answers_201_and_where_it_is(world: World, send: Any, path: str, name: str, content: bytes) -> None:
    answer = send(world, path, name, content)

    assert answer.status_code == 201
    body = answer.json()
    assert (body["name"], body["digest"], body["num_bytes"]) == (name, digest_of(content), len(content))
    assert (body["state"], body["summary"], body["failure"]) == ("checking", None, None)
    assert answer.headers["location"] == f"{path}/{body['id']}"
    assert world.http.get(answer.headers["location"]).json() == body
    assert world.files() == [f"sha256/{body['digest'][7:9]}/{body['digest'][7:]}"]


@pytest.mark.parametrize("again", WAYS)
def test_the_same_content_again_answers_200_and_costs_nothing(world: World, again: Any) -> None:
    first = raw(world, "/v1/models", "a.keras", MODEL)

    second = again(world, "/v1/models", "b.keras", MODEL)

    assert second.status_code == 200
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert (world.rows(Upload), world.rows(Job), len(world.files())) == (1, 1, 1)


def test_of_many_who_upload_the_same_at_once_one_is_told_that_it_is_new(world: World) -> None:
    """All others are told that it is there; nobody is told of a conflict."""
    content = good_npz()
    barrier = threading.Barrier(8)

    def rush(_: int) -> httpx.Response:
        barrier.wait()
        return httpx.post(f"{world.http.base_url}/v1/datasets?name=d.npz", content=content, timeout=20)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(rush, range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (world.rows(Upload), world.rows(Job), len(world.files())) == (1, 1, 1)


def test_a_form_may_be_larger_than_the_limit_by_its_own_lines(world: World) -> None:
    """The limit is one of files; the form around it is not the user's doing."""
    content = MODEL + bytes(0)
    limit = world.settings.max_upload_bytes
    padding = limit - len(content)

    answer = form(world, "/v1/models", "m.keras", bytes(padding) + content)

    assert answer.status_code != 413, answer.text


def test_the_scale_of_a_data_set_is_kept(world: World) -> None:
    answer = world.http.post("/v1/datasets", params={"name": "d.npz", "scale": "1/255"}, content=good_npz())

    assert answer.json()["scale"] == "1/255"


def header(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize("name", ["Repr-Digest", "Content-Digest"])
def test_a_digest_that_is_right_is_accepted(world: World, send: Any, name: str) -> None:
    assert send(world, "/v1/models", "m.keras", MODEL, **{name: header(MODEL)}).status_code == 201


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(header(b"something else"), id="of other bytes"),
        pytest.param("sha-256=:AAAA:", id="too short"),
        pytest.param("md5=:AAAA:", id="of another kind"),
        pytest.param("nonsense", id="nonsense"),
    ],
)
def test_a_digest_that_is_wrong_is_refused_and_nothing_is_left(world: World, send: Any, value: str) -> None:
    """A proxy that damaged the bytes is noticed before they are used."""
    answer = send(world, "/v1/models", "m.keras", MODEL, **{"Repr-Digest": value})

    problem_of(answer, 400, "upload_incomplete")
    assert (world.rows(Upload), world.files()) == (0, [])


def test_uploads_are_listed_newest_first_page_by_page(world: World) -> None:
    ids = [world.upload("dataset", other_npz(number))["id"] for number in range(5)]
    seen, cursor = [], None

    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = world.http.get("/v1/datasets", params=params).json()
        seen += [item["id"] for item in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ids[::-1]
    assert world.http.get("/v1/models").json() == {"data": [], "next_cursor": None}


def test_what_a_check_found_is_shown(world: World) -> None:
    from tests.service.summaries import dataset_summary

    upload = world.upload("dataset", good_npz())
    world.settle(upload["id"], summary=dataset_summary())

    shown = world.http.get(f"/v1/datasets/{upload['id']}").json()

    assert (shown["state"], shown["summary"]["num_classes"]) == ("ready", 3)
