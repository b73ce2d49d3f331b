"""Another attempt, at a user's word."""

import pytest

from infra.jobs.lifecycle import Outcome
from secateur.errors import TrainingDiverged
from secateur.protocol.states import JobState
from tests.service.conftest import Running, messages
from tests.service.inputs import end, job, upload
from tests.service.keys import as_

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

FAILED = Outcome(JobState.FAILED, TrainingDiverged("The loss became nan.").failure("prune"))


def test_a_failed_job_is_queued_again_and_rung_for(gateway: Running, broker: str) -> None:
    job_id = job(gateway)
    end(gateway, job_id, FAILED)

    answer = gateway.http.post(f"/v1/jobs/{job_id}/retry")

    view = answer.json()
    assert answer.status_code == 202
    assert (view["state"], view["attempt"], view["charged"], view["failure"]) == ("queued", 1, 0, None)
    assert messages(broker, "jobs") == [[job_id]]
    end(gateway, job_id, Outcome(JobState.SUCCEEDED))
    assert gateway.http.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2


@pytest.mark.parametrize("state", ["queued", "succeeded"])
def test_what_cannot_be_tried_again_says_so(state: str, gateway: Running) -> None:
    job_id = job(gateway)
    if state == "succeeded":
        end(gateway, job_id, Outcome(JobState.SUCCEEDED))

    answer = gateway.http.post(f"/v1/jobs/{job_id}/retry")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_retryable")
    assert state in answer.json()["detail"]


def test_a_check_is_not_tried_again_but_uploaded_again(gateway: Running) -> None:
    upload(gateway, "model", state="rejected")
    check_id = gateway.http.get("/v1/jobs", params={"kind": "check_model", "state": "failed"}).json()["data"][0]["id"]

    answer = gateway.http.post(f"/v1/jobs/{check_id}/retry")

    assert (answer.status_code, answer.json()["suggestions"]) == (409, ["Upload the file again."])


def test_a_job_whose_model_is_gone_is_not_tried_again(gateway: Running) -> None:
    """It could only fail once more, minutes later."""
    job_id = job(gateway)
    end(gateway, job_id, FAILED)
    model_id = gateway.http.get(f"/v1/jobs/{job_id}").json()["spec"]["model_id"]
    gateway.http.delete(f"/v1/models/{model_id}")

    answer = gateway.http.post(f"/v1/jobs/{job_id}/retry")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "model_id")


def test_nobody_else_s_job_is_tried_again_or_read(fresh: Running) -> None:
    job_id = job(fresh)
    end(fresh, job_id, FAILED)

    with as_(fresh, "somebody") as other:
        assert other.post(f"/v1/jobs/{job_id}/retry").status_code == 404
        assert other.get(f"/v1/jobs/{job_id}/events").status_code == 404
        assert other.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}).status_code == 404
