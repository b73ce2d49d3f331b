"""The second kind of job at the gateway: the same road, its own spec."""

from typing import Any

import pytest

from tests.service.conftest import Running
from tests.service.inputs import pair, succeed
from tests.service.jobs.test_jobs import messages

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

HALF = {"data": {"validation_share": 0.5}}
"""Of 64 samples, so that enough are held out."""


def sensitivity(running: Running, **changes: Any) -> dict[str, Any]:
    """A spec that fits, with these fields changed."""
    known = pair(running)
    return {"kind": "sensitivity", "model_id": known.model_id, "dataset_id": known.dataset_id} | HALF | changes


def test_a_sensitivity_job_is_queued_like_any_other(fresh: Running, broker: str) -> None:
    spec = sensitivity(fresh, labels={"team": "vision"}, sparsities=[0.5, 0.9])

    answer = fresh.http.post("/v1/jobs", json=spec)

    job = answer.json()
    assert (answer.status_code, job["kind"], job["state"]) == (202, "sensitivity", "queued")
    assert [step["name"] for step in job["steps"]] == ["baseline", "sensitivity", "report"]
    assert (job["spec"]["sparsities"], job["spec"]["samples"], job["labels"]) == ([0.5, 0.9], 1000, {"team": "vision"})
    assert len(messages(broker, "jobs")) == 1
    assert [found["id"] for found in fresh.http.get("/v1/jobs?kind=sensitivity").json()["data"]] == [job["id"]]
    assert fresh.http.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


REFUSED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an unknown kind": ({"kind": "sensitive"}, "invalid_request", "kind", "compress, sensitivity"),
    "a kind that is no name": ({"kind": ["sensitivity"]}, "invalid_request", "kind", "compress, sensitivity"),
    "a misspelt field": ({"skip_layer": ["a"]}, "invalid_request", "skip_layer", "skip_layers"),
    "a sparsity of 1": ({"sparsities": [0.5, 1.0]}, "invalid_request", "sparsities.1", "less than 1"),
    "a threshold": ({"criterion": "std_threshold"}, "invalid_request", "criterion", "only ranks"),
    "n of m": ({"structure": "n_m"}, "invalid_request", "structure", "/v1/schemas/sensitivity"),
    "a recipe": ({"steps": []}, "invalid_request", "steps", "Extra inputs"),
    "an unknown layer": ({"skip_layers": ["hiden"]}, "unknown_layer", "skip_layers", "hidden"),
    "too few held out": ({"data": {}}, "held_out_data_missing", "data.validation_share", "0.32 or more"),
}


@pytest.mark.parametrize(("changes", "code", "field", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_spec_that_cannot_work_is_refused_with_the_field_and_a_hint(
    changes: dict[str, Any], code: str, field: str, hint: str, gateway: Running
) -> None:
    answer = gateway.http.post("/v1/jobs", json=sensitivity(gateway, **changes))

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert hint in answer.text


def test_nothing_left_to_measure_is_refused(gateway: Running) -> None:
    answer = gateway.http.post("/v1/jobs", json=sensitivity(gateway, skip_layers=["hidden"]))

    assert (answer.status_code, answer.json()["code"]) == (422, "nothing_to_prune")


@pytest.mark.parametrize(("accept", "expected"), [("application/json", b"{}"), ("text/html", b"<p>")])
def test_its_report_is_served_in_both_forms(accept: str, expected: bytes, fresh: Running) -> None:
    job_id = fresh.http.post("/v1/jobs", json=sensitivity(fresh)).json()["id"]
    files = {"report.json": ("application/json", b"{}"), "report.html": ("text/html", b"<p>")}
    succeed(fresh, job_id, files)

    assert fresh.http.get(f"/v1/jobs/{job_id}/report", headers={"Accept": accept}).content == expected
