"""Keeping and deleting over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.service.conftest import Running, Start, model_file
from tests.service.inputs import Pair, job, pair, succeed, take


def days_left(thing: dict[str, Any]) -> float:
    return (datetime.fromisoformat(thing["expires_at"]) - datetime.now(UTC)) / timedelta(days=1)


def test_deleting_a_job_takes_its_files_along(gateway: Running) -> None:
    job_id = job(gateway)
    before = gateway.stored()
    succeed(gateway, job_id, {"model.tflite": ("x/y", b"only this job has it")})
    assert gateway.stored() != before

    assert gateway.http.delete(f"/v1/jobs/{job_id}").status_code == 204

    assert gateway.stored() == before
    for path in ("", "/artifacts", "/artifacts/model.tflite", "/report"):
        assert gateway.http.get(f"/v1/jobs/{job_id}{path}").status_code == 404
    assert gateway.http.delete(f"/v1/jobs/{job_id}").status_code == 404


def test_a_job_that_has_not_ended_is_not_deleted(gateway: Running) -> None:
    waiting, running = job(gateway), job(gateway)
    take(gateway, running)

    for job_id, state in ((waiting, "queued"), (running, "running")):
        answer = gateway.http.delete(f"/v1/jobs/{job_id}")
        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
        assert state in answer.json()["detail"]


def test_the_check_of_an_upload_is_not_deleted_alone(gateway: Running) -> None:
    checks = pair(gateway) and gateway.http.get("/v1/jobs?kind=check_model&limit=1").json()["data"]

    answer = gateway.http.delete(f"/v1/jobs/{checks[0]['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")


@pytest.fixture
def paths(gateway: Running) -> list[str]:
    inputs: Pair = pair(gateway)
    return [f"/v1/models/{inputs.model_id}", f"/v1/datasets/{inputs.dataset_id}", f"/v1/jobs/{job(gateway)}"]


def test_how_long_something_is_kept_can_be_set_and_taken_back(gateway: Running, paths: list[str]) -> None:
    for path in paths:
        assert gateway.http.get(path).json()["expires_at"] is None
        kept = gateway.http.patch(path, json={"expires_in_days": 30})
        assert kept.status_code == 200
        assert 29.9 < days_left(kept.json()) <= 30
        assert gateway.http.get(path).json() == kept.json()
        assert gateway.http.patch(path, json={"expires_in_days": None}).json()["expires_at"] is None


@pytest.mark.parametrize("body", [{}, {"expires_in_days": 0}, {"expires_in_days": 1e9}, {"expires_at": "tomorrow"}])
def test_an_end_that_is_none_is_refused(gateway: Running, paths: list[str], body: dict[str, object]) -> None:
    assert gateway.http.patch(paths[0], json=body).status_code == 422


def test_the_settings_say_how_long_new_things_are_kept(start: Start, broker: str) -> None:
    with start(keep_uploads_days=3, keep_jobs_days=5) as running:
        content = model_file("kept")
        model = running.http.post("/v1/models", params={"name": "a.keras"}, content=content).json()
        accepted = running.http.post("/v1/jobs", json=pair(running).spec()).json()

        assert 2.9 < days_left(model) <= 3
        assert 4.9 < days_left(accepted) <= 5
