"""Lists: pages that stay right while rows come and go, filters, and counts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.jobs import creation
from secateur.specs.spec import CompressSpec
from tests.service.conftest import Running
from tests.service.inputs import job, pair, succeed, take, upload


def walk(gateway: Running, path: str, **params: Any) -> list[list[str]]:
    """The ids of every page, following the cursors."""
    pages, cursor = [], None
    while True:
        answer = gateway.http.get(path, params=params | ({"cursor": cursor} if cursor else {})).json()
        pages.append([row["id"] for row in answer["data"]])
        if (cursor := answer["next_cursor"]) is None:
            return pages


def test_pages_hold_everything_once_newest_first(fresh: Running) -> None:
    job_ids = [job(fresh) for _ in range(5)]

    pages = walk(fresh, "/v1/jobs", limit=2)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job_id for page in pages for job_id in page] == job_ids[::-1]


def test_a_page_that_is_exactly_full_is_the_last(fresh: Running) -> None:
    """No empty page at the end for whoever follows the cursor."""
    for _ in range(4):
        job(fresh)

    assert [len(page) for page in walk(fresh, "/v1/jobs", limit=2)] == [2, 2]


def test_rows_of_the_same_instant_are_neither_lost_nor_doubled(fresh: Running) -> None:
    """A burst of jobs shares a time; the id tells them apart."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    spec = CompressSpec.model_validate(pair(fresh).spec())
    with fresh.parts.database.write() as session:
        job_ids = {creation.create_job(session, spec, now=at).id for _ in range(7)}

    pages = walk(fresh, "/v1/jobs", limit=3)

    found = [job_id for page in pages for job_id in page]
    assert len(found) == 7
    assert set(found) == job_ids


def test_rows_that_come_meanwhile_do_not_shift_the_pages(fresh: Running) -> None:
    """That is what cursors have over page numbers."""
    old = [job(fresh) for _ in range(4)]
    first = fresh.http.get("/v1/jobs", params={"limit": 2}).json()
    job(fresh)

    second = fresh.http.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [row["id"] for row in first["data"] + second["data"]] == old[::-1]


@pytest.mark.parametrize(("path", "kind"), [("/v1/models", "model"), ("/v1/datasets", "dataset")])
def test_uploads_are_listed_by_kind_and_page(path: str, kind: Any, fresh: Running) -> None:
    upload_ids = [upload(fresh, kind) for _ in range(3)]
    upload(fresh, "dataset" if kind == "model" else "model")

    assert [name for page in walk(fresh, path, limit=2) for name in page] == upload_ids[::-1]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"cursor": "garbage"}, "cursor"),
        ({"cursor": "1795262400000000-job_989651fb785aefefabd0\n"}, "cursor"),
        ({"cursor": "1795262400-job_989651fb785aefefabd0"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"state": "sleeping"}, "state"),
        ({"kind": "sweep_floor"}, "kind"),
        ({"label": "team"}, "label"),
    ],
)
def test_a_bad_filter_is_refused_by_name(params: dict[str, Any], field: str, gateway: Running) -> None:
    answer = gateway.http.get("/v1/jobs", params=params)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_filters_choose_and_counts_tell_the_states_of_what_they_choose(fresh: Running) -> None:
    one, other = pair(fresh), pair(fresh)
    queued = job(fresh, **one.spec(labels={"team": "vision", "note": "a:b"}))
    running = job(fresh, **one.spec(labels={"team": "vision"}))
    done = job(fresh, **other.spec(labels={"team": "audio"}))
    take(fresh, running)
    succeed(fresh, done, {})

    def ask(**params: Any) -> tuple[set[str], dict[str, int]]:
        answer = fresh.http.get("/v1/jobs", params=params).json()
        return {row["id"] for row in answer["data"]}, {k: v for k, v in answer["counts"].items() if v}

    assert ask() == ({queued, running, done}, {"queued": 1, "running": 1, "succeeded": 1})
    assert ask(state="queued") == ({queued}, {"queued": 1, "running": 1, "succeeded": 1})
    assert ask(model_id=one.model_id) == ({queued, running}, {"queued": 1, "running": 1})
    assert ask(dataset_id=other.dataset_id) == ({done}, {"succeeded": 1})
    assert ask(label="team:vision") == ({queued, running}, {"queued": 1, "running": 1})
    assert ask(label=["team:vision", "note:a:b"]) == ({queued}, {"queued": 1})
    assert ask(label="team:nobody") == (set(), {})
    assert ask(kind="compress", state="succeeded")[0] == {done}


def test_counts_name_every_state(fresh: Running) -> None:
    """A dashboard need not know which are missing."""
    counts = fresh.http.get("/v1/jobs").json()["counts"]

    assert set(counts) == {"queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired"}
    assert set(counts.values()) == {0}


def test_checks_are_listed_only_when_asked_for(fresh: Running) -> None:
    """They are how an upload becomes ready, not something that a user ordered."""
    upload(fresh, "model")

    assert fresh.http.get("/v1/jobs").json()["data"] == []
    (check,) = fresh.http.get("/v1/jobs", params={"kind": "check_model"}).json()["data"]
    assert (check["state"], check["spec"], check["limits"]) == ("succeeded", {}, None)


@pytest.mark.parametrize(("path", "kind"), [("/v1/models", "model"), ("/v1/datasets", "dataset")])
def test_a_list_of_uploads_leaves_out_what_was_found_of_each(path: str, kind: Any, fresh: Running) -> None:
    """Two hundred summaries of large models would be a gigabyte."""
    upload_id = upload(fresh, kind)

    [entry] = fresh.http.get(path).json()["data"]
    whole = fresh.http.get(f"{path}/{upload_id}").json()

    assert whole.pop("summary") is not None
    assert entry == whole
