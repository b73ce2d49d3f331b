"""Metrics as Prometheus reads them."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.db import counters
from infra.db.database import Database
from service.monitoring.metrics import MEDIA_TYPE
from tests.service.conftest import Running, Start, eventually, model_file
from tests.service.inputs import job
from tests.service.keys import as_


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels, read by the library's own parser."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[f"secateur_{name}", frozenset(labels.items())]


def settled(running: Running, num_requests: int) -> None:
    """Wait until so many requests are counted: that happens when the last byte of an answer is out, not before."""

    def counted() -> bool:
        text = running.parts.requests.told(running.parts.database, workers_within_seconds=1).decode()
        return value(text, "http_request_seconds_count") == num_requests

    assert eventually(counted)


def test_rows_counts_and_requests_are_told(fresh: Running) -> None:
    content = model_file("measured")
    job(fresh)
    fresh.http.post("/v1/models", params={"name": "a.keras"}, content=content)
    fresh.http.get("/v1/models/mdl_" + "0" * 20)
    with fresh.parts.database.write() as session:
        counters.add(session, {("attempts", ("compress", "succeeded")): 2.0, ("child_deaths", ("SIGKILL",)): 1.0})
        for seconds in (0.2, 2.0, 20_000.0):
            counters.add(session, counters.observed("job_wait_seconds", ("compress",), seconds))

    settled(fresh, 2)
    answer = fresh.http.get("/metrics")

    text = answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert value(text, "database_up") == 1
    assert value(text, "queue_jobs", queue="jobs") == 1
    assert 0 <= value(text, "queue_oldest_seconds", queue="jobs") < 60
    assert value(text, "jobs", kind="compress", state="queued") == 1
    assert value(text, "stored_bytes") >= len(content)
    assert value(text, "attempts_total", kind="compress", ending="succeeded") == 2
    assert value(text, "child_deaths_total", cause="SIGKILL") == 1
    ends = {"0.1": 0, "0.3": 1, "1.0": 1, "3.0": 2, "10000.0": 2, "+Inf": 3}
    assert {end: value(text, "job_wait_seconds_bucket", kind="compress", le=end) for end in ends} == ends
    assert value(text, "job_wait_seconds_count", kind="compress") == 3
    assert value(text, "job_wait_seconds_sum", kind="compress") == 20_002.2
    assert value(text, "http_requests_total", method="POST", route="/v1/models", status="201") == 1
    assert value(text, "http_requests_total", method="GET", route="/v1/models/{model_id}", status="404") == 1
    assert value(text, "http_request_seconds_count") == 2


def test_addresses_and_methods_that_do_not_exist_are_one_series(fresh: Running) -> None:
    """Whoever invents them must not fill the monitor's memory."""
    for number in range(5):
        fresh.http.request(f"BREW{number}", f"/nowhere/{number}")

    settled(fresh, 5)
    text = fresh.http.get("/metrics").text

    assert value(text, "http_requests_total", method="other", route="none", status="404") == 5


def test_a_database_that_does_not_answer_is_told_and_the_rest_is_there(fresh: Running, tmp_path: Path) -> None:
    fresh.http.get("/health/live")
    settled(fresh, 1)
    requests = fresh.parts.requests
    text = requests.told(Database(f"sqlite:///{tmp_path}/missing/no.db"), workers_within_seconds=1).decode()

    assert value(text, "database_up") == 0
    assert value(text, "http_requests_total", method="GET", route="/health/live", status="200") == 1
    assert "secateur_jobs" not in text


@pytest.mark.parametrize(("scope", "status"), [("metrics", 200), ("admin", 200), ("read", 403), ("write", 403)])
def test_metrics_are_for_those_who_have_the_scope(start: Start, broker: str, scope: str, status: int) -> None:
    """They tell of all owners, and a monitor needs nothing else."""
    with start() as running, as_(running, "monitor", [scope]) as http:  # type: ignore[list-item]
        assert http.get("/metrics").status_code == status
        assert (http.get("/v1/models").status_code == 403) == (scope == "metrics")


TOKEN = "monitors-know-this-one"


def test_the_token_of_the_settings_opens_the_metrics_and_nothing_else(start: Start, broker: str) -> None:
    """It needs no database to be known, so that a monitor is told when there is none."""
    with start(metrics_token=TOKEN) as running, as_(running, "ops", ["admin"]):
        given = {"token": TOKEN, "other": TOKEN[:-1], "strange": "\u00fc" * 20}
        headers = {name: {"Authorization": f"Bearer {text}".encode()} for name, text in given.items()} | {"none": {}}
        told = {name: running.http.get("/metrics", headers=sent).status_code for name, sent in headers.items()}
        elsewhere = running.http.get("/v1/models", headers=headers["token"])

    assert told == {"token": 200, "other": 401, "strange": 401, "none": 401}
    assert elsewhere.status_code == 401


def test_a_monitor_with_the_token_is_told_that_the_database_is_away(start: Start, broker: str) -> None:
    nowhere = "postgresql://x@127.0.0.1:1/x"
    with start(migrated=False, database_url=nowhere, metrics_token=TOKEN) as running:
        answer = running.http.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"})
        without = running.http.get("/metrics")

    assert answer.status_code == 200
    assert value(answer.text, "database_up") == 0
    assert without.status_code == 503
