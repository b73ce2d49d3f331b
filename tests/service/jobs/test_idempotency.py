"""A request that is sent twice, and work that is asked for twice."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from infra.db.database import now
from infra.db.tables import IdempotencyKey, Job
from infra.jobs.idempotency import IN_FLIGHT_SECONDS
from infra.jobs.lifecycle import Outcome
from secateur.errors import TrainingDiverged
from secateur.protocol.states import JobState
from tests.service.conftest import Running, Start, eventually, messages
from tests.service.inputs import PRUNE, end, job, pair, take
from tests.service.keys import as_

DONE = Outcome(JobState.SUCCEEDED)
FAILED = Outcome(JobState.FAILED, TrainingDiverged("The loss became nan.").failure("prune"))


def post(gateway: Running, spec: dict[str, Any], key: str | None = None, **more: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return gateway.http.post("/v1/jobs", json=spec, headers=headers | more.pop("headers", {}), **more)


def test_of_twenty_requests_with_one_key_one_makes_a_job(gateway: Running, broker: str) -> None:
    """A client that hears nothing sends again; a proxy may do so at the same instant."""
    spec = pair(gateway).spec()
    before = gateway.num_rows()[1]
    barrier = threading.Barrier(20)

    def rush(_: int) -> httpx.Response:
        with httpx.Client(base_url=gateway.url, timeout=30) as client:
            barrier.wait()
            return client.post("/v1/jobs?force=true", json=spec, headers={"Idempotency-Key": "rush"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(rush, range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert gateway.num_rows()[1] == before + 1
    assert messages(broker, "jobs") == [[answers[0].json()["id"]]]


def test_of_twenty_equal_specs_one_makes_a_job(gateway: Running) -> None:
    """An impatient second click is not a second job, also without a key."""
    spec = pair(gateway).spec()
    before = gateway.num_rows()[1]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(gateway, spec), range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert gateway.num_rows()[1] == before + 1


def test_a_replay_is_the_first_answer_also_after_a_restart(start: Start, broker: str) -> None:
    with start() as gateway:
        spec = pair(gateway).spec()
        first = post(gateway, spec, "k")
        end(gateway, first.json()["id"], DONE)
    with start() as gateway:
        again = post(gateway, spec, "k")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_same_key_with_another_request_is_refused(gateway: Running) -> None:
    spec = pair(gateway).spec()
    post(gateway, spec, "other-body")

    changed = post(gateway, spec | {"seed": 1}, "other-body")
    forced = post(gateway, spec, "other-body", params={"force": "true"})
    written_out = post(gateway, spec | {"kind": "compress"}, "other-body")

    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    assert forced.status_code == 422
    assert written_out.headers["idempotency-replayed"] == "true"


def test_a_refusal_leaves_no_key_behind(gateway: Running) -> None:
    """Whoever puts the spec right may send it with the same key."""
    spec = pair(gateway).spec()

    refused = post(gateway, spec | {"steps": [PRUNE | {"layers": {"nothing": 0.5}}]}, "put-right")

    assert refused.status_code == 422
    assert post(gateway, spec, "put-right").status_code == 202


def test_keys_are_an_owner_s_own(fresh: Running) -> None:
    """Another owner's key is another key; an admin, who sees the model, has keys of their own too."""
    spec = pair(fresh).spec()
    with as_(fresh, "local", ["admin"]) as one, as_(fresh, "boss", ["admin"]) as other:
        answers = [http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "k"}) for http in (one, other, one)]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert answers[0].json()["id"] == answers[2].json()["id"] != answers[1].json()["id"]


def test_who_comes_while_the_first_still_waits_is_told_to_come_later(gateway: Running) -> None:
    spec = pair(gateway).spec()
    waits = {"Prefer": "wait=20"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, gateway, spec, "in-flight", headers=waits)
        assert eventually(lambda: any(gateway.parts.feed._channels))
        second = post(gateway, spec, "in-flight", headers=waits)
        (job_id,) = gateway.parts.feed._channels
        end(gateway, job_id, DONE)
        answered = first.result()

    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
    assert int(second.headers["retry-after"]) >= 1
    assert (answered.status_code, answered.json()["state"]) == (200, "succeeded")
    replay = post(gateway, spec, "in-flight", headers=waits)
    assert (replay.status_code, replay.content) == (200, answered.content)


def test_a_key_whose_gateway_died_stands_for_its_job(gateway: Running) -> None:
    """Killed between the job and the answer: the job is there, and its caller must be able to find it."""
    spec = pair(gateway).spec()
    job_id = post(gateway, spec, "died").json()["id"]
    with gateway.parts.database.write() as session:
        long_ago = now() - timedelta(seconds=IN_FLIGHT_SECONDS + 1)
        this = update(IdempotencyKey).where(IdempotencyKey.key == "died")
        session.execute(this.values(status=None, body=None, created_at=long_ago))

    answer = post(gateway, spec, "died")

    assert (answer.status_code, answer.json()["id"]) == (202, job_id)
    assert answer.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "with space"], ids=["empty", "long", "space"])
def test_a_key_that_is_none_is_refused(key: str, gateway: Running) -> None:
    answer = gateway.http.post("/v1/jobs", json=pair(gateway).spec(), headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "idempotency-key")


def test_an_identical_spec_is_answered_with_the_job_that_is_here(gateway: Running, broker: str) -> None:
    spec = pair(gateway).spec(labels={"team": "vision"})
    first = post(gateway, spec).json()

    while_queued = post(gateway, spec)
    end(gateway, first["id"], DONE)
    when_succeeded = post(gateway, spec)

    for answer in (while_queued, when_succeeded):
        assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
        assert answer.json()["deduplicated"] is True
        assert answer.headers["location"] == f"/v1/jobs/{first['id']}"
    assert first["deduplicated"] is False
    assert messages(broker, "jobs") == [[first["id"]]]


@pytest.mark.parametrize("changes", [{"seed": 7}, {"labels": {"run": "2"}}, {"limits": {"max_runtime_seconds": 9}}])
def test_a_spec_that_asks_for_anything_else_is_another_job(changes: dict[str, Any], gateway: Running) -> None:
    spec = pair(gateway).spec()
    post(gateway, spec)

    assert post(gateway, spec | changes).status_code == 202


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "cancelling"])
def test_a_job_that_went_wrong_is_never_handed_out(outcome: str, gateway: Running) -> None:
    spec = pair(gateway).spec()
    first = post(gateway, spec).json()["id"]
    if outcome == "failed":
        end(gateway, first, FAILED)
    else:
        if outcome == "cancelling":
            take(gateway, first)
        gateway.http.post(f"/v1/jobs/{first}/cancel")

    answer = post(gateway, spec)

    assert (answer.status_code, answer.json()["deduplicated"]) == (202, False)


def test_force_makes_another_job(gateway: Running) -> None:
    spec = pair(gateway).spec()
    first = post(gateway, spec).json()["id"]

    forced = post(gateway, spec, params={"force": "true"})

    assert forced.status_code == 202
    assert forced.json()["id"] != first
    assert post(gateway, spec).json()["id"] == forced.json()["id"]


def test_who_prefers_to_wait_is_answered_when_the_job_has_ended(gateway: Running) -> None:
    spec = pair(gateway).spec()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, gateway, spec, headers={"Prefer": "respond-async, wait=20"})
        assert eventually(lambda: any(gateway.parts.feed._channels))
        (job_id,) = gateway.parts.feed._channels
        end(gateway, job_id, DONE)
        came = answer.result()

    assert (came.status_code, came.json()["state"]) == (200, "succeeded")
    assert came.headers["preference-applied"] == "wait=20"


def test_who_waits_long_enough_is_answered_all_the_same(gateway: Running) -> None:
    began = time.monotonic()

    answer = post(gateway, pair(gateway).spec(), headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["preference-applied"] == "wait=1"
    assert time.monotonic() - began >= 1


def test_trials_are_compared_with_nothing(gateway: Running) -> None:
    """A sweep's table is made of its own trials; and whoever posts a trial's spec gets a job of their own."""
    shared = pair(gateway)
    trial = job(gateway, model_id=shared.model_id, dataset_id=shared.dataset_id)
    with gateway.parts.database.write() as session:
        row = session.get(Job, trial)
        assert row is not None
        row.parent_id = "job_" + "1" * 20

    answer = post(gateway, shared.spec())

    assert (answer.status_code, answer.json()["deduplicated"]) == (202, False)
