"""Jobs: accepted when they can work, refused with what to change, watched and cancelled."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.jobs import queries
from infra.jobs.lifecycle import Outcome
from secateur.errors import TrainingDiverged
from secateur.protocol.states import JobState
from secateur.specs.kinds import SPECS
from secateur.specs.methods import METHODS
from secateur.specs.spec import CompressSpec
from tests.service.conftest import Running, Start, messages
from tests.service.inputs import PRUNE, end, job, pair, succeed, take, upload

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")


def test_an_accepted_job_is_written_down_and_rung_for(gateway: Running, broker: str) -> None:
    """202 means that the row is there; the message carries its id."""
    spec = pair(gateway).spec(labels={"team": "vision"}, limits={"max_runtime_seconds": 60})

    answer = gateway.http.post("/v1/jobs", json=spec)

    posted = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{posted['id']}"
    assert (posted["kind"], posted["state"], posted["attempt"]) == ("compress", "queued", 0)
    assert [step["name"] for step in posted["steps"]] == ["baseline", "prune", "measure"]
    assert (posted["labels"], posted["limits"]["max_runtime_seconds"]) == ({"team": "vision"}, 60)
    assert messages(broker, "jobs") == [[posted["id"]]]
    assert gateway.http.get(answer.headers["location"]).json() == posted
    with gateway.parts.database.read() as session:
        row = queries.get(session, posted["id"])
    assert row is not None
    assert row.published_at is not None


def test_the_spec_comes_back_with_every_default_filled_in(gateway: Running) -> None:
    """So that a result can be repeated when the defaults have changed."""
    spec = pair(gateway).spec()

    posted = gateway.http.post("/v1/jobs", json=spec).json()

    assert posted["spec"] == CompressSpec.model_validate(spec).model_dump(mode="json")
    assert posted["spec"]["steps"][0]["schedule"]["kind"] == "polynomial"


def test_a_job_that_takes_channels_is_queued_and_comes_back_as_it_was_understood(gateway: Running) -> None:
    spec = pair(gateway).spec(preset="fast")
    del spec["steps"]

    answer = gateway.http.post("/v1/jobs", json=spec)

    step = answer.json()["spec"]["steps"][0]
    assert answer.status_code == 202
    assert (step["structure"], step["macs"], step["schedule"]["kind"]) == ("channel", 0.5, "one_shot")


def test_a_job_may_be_queued_while_its_inputs_are_checked(gateway: Running) -> None:
    """The worker holds the spec against what it finds; waiting here would only cost the caller time."""
    model_id = upload(gateway, "model", state="checking")
    spec = {"model_id": model_id, "dataset_id": upload(gateway, "dataset"), "steps": [PRUNE]}

    answer = gateway.http.post("/v1/jobs", json=spec)

    assert answer.status_code == 202


def test_a_job_is_accepted_although_the_broker_is_away(start: Start) -> None:
    with start(broker_url="redis+socket:///nowhere/broker.sock") as gateway:
        answer = gateway.http.post("/v1/jobs", json=pair(gateway).spec())

        with gateway.parts.database.read() as session:
            row = queries.get(session, answer.json()["id"])
    assert answer.status_code == 202
    assert row is not None
    assert row.published_at is None


NOBODY = "0" * 20
REFUSED: dict[str, tuple[dict[str, Any], int, str, str, str]] = {
    "an unknown field": ({"presets": "small"}, 422, "invalid_request", "presets", "preset"),
    "an unknown field of a step": (
        {"steps": [PRUNE | {"skip_layer": ["a"]}]},
        422,
        "invalid_request",
        "steps.0.skip_layer",
        "skip_layers",
    ),
    "a sparsity of 1.5": (
        {"steps": [PRUNE | {"sparsity": 1.5}]},
        422,
        "invalid_request",
        "steps.0.sparsity",
        "less than 1",
    ),
    "a ramp of 3": (
        {"steps": [PRUNE | {"schedule": {"kind": "polynomial", "ramp": 3}}]},
        422,
        "invalid_request",
        "steps.0.schedule.ramp",
        "less than or equal to 1",
    ),
    "an unknown step": ({"steps": [{"kind": "prun"}]}, 422, "invalid_request", "steps.0", "'prune'"),
    "a slip in a step that takes channels": (
        {"steps": [{"kind": "prune", "structure": "channel", "macs": 2}]},
        422,
        "invalid_request",
        "steps.0.macs",
        "less than 1",
    ),
    "an unknown structure": (
        {"steps": [PRUNE | {"structure": "channels"}]},
        422,
        "invalid_request",
        "steps.0.structure",
        "'weight', 'unit', 'block', 'n_m' or 'channel'",
    ),
    "an unknown layer": (
        {"steps": [PRUNE | {"layers": {"hiden": 0.5}}]},
        422,
        "unknown_layer",
        "steps.0.layers",
        "hidden",
    ),
    "a model that is not there": ({"model_id": f"mdl_{NOBODY}"}, 404, "not_found", "model_id", "/v1/models"),
    "a data set that is not there": ({"dataset_id": f"dst_{NOBODY}"}, 404, "not_found", "dataset_id", "/v1/datasets"),
    "a data set for a model": ({"model_id": f"dst_{NOBODY}"}, 422, "wrong_kind", "model_id", "a data set"),
    "a model for a data set": ({"dataset_id": f"mdl_{NOBODY}"}, 422, "wrong_kind", "dataset_id", "a model"),
    "a job for a model": ({"model_id": f"job_{NOBODY}"}, 422, "wrong_kind", "model_id", "a job"),
    "no id at all": ({"model_id": "lenet"}, 422, "invalid_request", "model_id", "the id of a model"),
}


@pytest.mark.parametrize(("changes", "status", "code", "field", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_spec_that_cannot_work_is_refused_with_the_field_and_a_hint(
    changes: dict[str, Any], status: int, code: str, field: str, hint: str, gateway: Running, broker: str
) -> None:
    """Nobody should have to open the manual to correct a slip."""
    spec = pair(gateway).spec(**changes)
    before = gateway.num_rows()

    answer = gateway.http.post("/v1/jobs", json=spec)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert hint in answer.text
    assert gateway.num_rows() == before
    assert messages(broker, "jobs") == []


@pytest.mark.parametrize(("kind", "code"), [("model", "model_unreadable"), ("dataset", "dataset_not_finite")])
def test_a_rejected_input_is_refused_with_the_reason(kind: Any, code: str, gateway: Running) -> None:
    spec = pair(gateway).spec() | {f"{kind}_id": upload(gateway, kind, state="rejected")}

    answer = gateway.http.post("/v1/jobs", json=spec)

    assert (answer.status_code, answer.json()["code"]) == (422, "input_rejected")
    assert answer.json()["errors"] == [{"field": f"{kind}_id", "messages": [code]}]
    assert answer.json()["suggestions"]


def test_waiting_answers_as_soon_as_something_changes(gateway: Running) -> None:
    job_id = job(gateway)
    threading.Timer(0.3, lambda: take(gateway, job_id)).start()

    answer = gateway.http.get(f"/v1/jobs/{job_id}", params={"wait": 60}, timeout=40)

    assert answer.json()["state"] == "running"


def test_waiting_answers_with_what_is_when_the_time_is_up(gateway: Running) -> None:
    job_id = job(gateway)
    start = time.monotonic()

    answer = gateway.http.get(f"/v1/jobs/{job_id}", params={"wait": 0.4})

    assert answer.json()["state"] == "queued"
    assert time.monotonic() - start >= 0.4


def test_nobody_waits_for_a_job_that_has_ended(gateway: Running) -> None:
    job_id = job(gateway)
    succeed(gateway, job_id, {})

    answer = gateway.http.get(f"/v1/jobs/{job_id}", params={"wait": 60}, timeout=40)

    assert answer.json()["state"] == "succeeded"


def test_those_who_wait_do_not_keep_out_the_others(gateway: Running) -> None:
    """More of them than there are threads."""
    job_id = job(gateway)
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=gateway.url, timeout=30, limits=limits) as client, ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(client.get, f"/v1/jobs/{job_id}", params={"wait": 20}) for _ in range(60)]
        time.sleep(0.5)

        answer = gateway.http.get("/v1/jobs", params={"limit": 1})

        assert answer.status_code == 200
        assert not any(future.done() for future in waiting)
        gateway.http.post(f"/v1/jobs/{job_id}/cancel")
        assert {future.result().json()["state"] for future in waiting} == {"cancelled"}


@pytest.mark.parametrize("seconds", [-1, 61, "long"])
def test_a_wait_out_of_bounds_is_refused(seconds: Any, gateway: Running) -> None:
    answer = gateway.http.get(f"/v1/jobs/{job(gateway)}", params={"wait": seconds})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


def test_a_waiting_job_is_cancelled_at_once(gateway: Running) -> None:
    job_id = job(gateway)

    answer = gateway.http.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert answer.json()["finished_at"] is not None


def test_a_running_job_is_asked_to_stop_once_or_twice(gateway: Running) -> None:
    """Its worker ends it; asking again changes nothing."""
    job_id = job(gateway)
    take(gateway, job_id)

    answers = [gateway.http.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2)]

    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(202, "cancelling")] * 2


def test_a_job_that_has_ended_cannot_be_cancelled(gateway: Running) -> None:
    job_id = job(gateway)
    diverged = TrainingDiverged("The loss became NaN.", suggestions=["Lower learning_rate."])
    end(gateway, job_id, Outcome(JobState.FAILED, failure=diverged.failure("finetune")))

    answer = gateway.http.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")
    failure = gateway.http.get(f"/v1/jobs/{job_id}").json()["failure"]
    assert (failure["code"], failure["step"], failure["blame"]) == ("training_diverged", "finetune", "request")


def test_the_check_of_an_upload_cannot_be_cancelled(gateway: Running) -> None:
    """The upload would be in ``checking`` forever."""
    upload(gateway, "model", state="checking")
    check = gateway.http.get("/v1/jobs", params={"kind": "check_model", "limit": 1}).json()["data"][0]

    answer = gateway.http.post(f"/v1/jobs/{check['id']}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")
    assert gateway.http.get(f"/v1/jobs/{check['id']}").json()["state"] == "queued"


@pytest.mark.parametrize("path", ["", "/report", "/artifacts", "/artifacts/model.tflite"])
def test_a_job_that_is_not_there_is_not_found(path: str, gateway: Running) -> None:
    answers = [gateway.http.get(f"/v1/jobs/{name}_{NOBODY}{path}") for name in ("job", "mdl")]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 2
    assert "a model" in answers[1].json()["detail"]


@pytest.mark.parametrize("kind", SPECS)
def test_the_schema_is_that_of_the_spec(kind: str, gateway: Running) -> None:
    """Editors and forms are made from it."""
    answer = gateway.http.get(f"/v1/schemas/{kind}")

    assert answer.json() == SPECS[kind].model_json_schema()
    assert gateway.http.get("/v1/schemas/distil").status_code == 404


def test_every_choice_can_be_looked_up_without_reading_documentation(gateway: Running) -> None:
    found = gateway.http.get("/v1/methods").json()

    assert found["criteria"]["wanda"].endswith("(Sun 2023)")
    assert set(found) == set(METHODS)
    assert set(found["channel_distributions"]) == {"uniform", "global", "pattern"}


def test_the_queue_position_counts_those_before(fresh: Running) -> None:
    first, second = job(fresh), job(fresh)

    positions = [fresh.http.get(f"/v1/jobs/{job_id}").json()["queue_position"] for job_id in (first, second)]
    take(fresh, first)

    assert positions == [0, 1]
    assert fresh.http.get(f"/v1/jobs/{first}").json()["queue_position"] is None
    assert fresh.http.get(f"/v1/jobs/{second}").json()["queue_position"] == 0
