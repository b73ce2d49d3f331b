"""Limits as a caller meets them: 429, what is used, and when to come back."""

from tests.service.conftest import Start, model_file
from tests.service.inputs import Pair, pair
from tests.service.keys import as_


def test_more_bytes_than_allowed_are_refused_before_they_are_sent_and_leave_nothing(start: Start) -> None:
    content = model_file("one")
    with start(quota_stored_bytes=len(content) + 10) as running:
        assert running.http.post("/v1/models", params={"name": "a.keras"}, content=content).status_code == 201
        before = running.traces()

        answers = [
            running.http.post("/v1/models", params={"name": "a.keras"}, content=model_file("two")),
            running.http.post("/v1/models", params={"name": "a.keras"}, content=iter([model_file("two")])),
        ]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
            assert int(answer.headers["retry-after"]) > 0
        assert running.traces() == before
        stored = running.http.get("/v1/usage").json()["stored_bytes"]
        assert stored == {"used": len(content), "limit": len(content) + 10}


def test_more_jobs_than_allowed_are_refused_and_the_queue_keeps_the_others(start: Start, broker: str) -> None:
    with start(quota_queued_jobs=2) as running:
        inputs: Pair = pair(running)

        answers = [running.http.post("/v1/jobs", json=inputs.spec(seed=seed)) for seed in range(3)]

        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[2].json()["code"] == "quota_exceeded"
        assert running.http.get("/v1/usage").json()["queued_jobs"] == {"used": 2, "limit": 2}


def test_more_uploads_than_allowed_do_not_wait_for_their_check(start: Start, broker: str) -> None:
    """Content that is known needs no check, and is answered as long as there is a place for one more."""
    with start(quota_queued_checks=2) as running:
        contents = [model_file("one"), model_file("one"), model_file("two"), model_file("three")]

        answers = [running.http.post("/v1/models", params={"name": "a.keras"}, content=content) for content in contents]

        assert [answer.status_code for answer in answers] == [201, 200, 201, 429]
        assert answers[3].json()["code"] == "quota_exceeded"
        assert int(answers[3].headers["retry-after"]) > 0
        assert running.http.get("/v1/usage").json()["queued_checks"] == {"used": 2, "limit": 2}


def test_requests_are_counted_for_each_owner_and_every_answer_tells_what_is_left(start: Start, broker: str) -> None:
    with start(requests_per_minute=3) as running, as_(running, "ann") as ann, as_(running, "ann") as too:
        answers = [http.get("/v1/models") for http in (ann, too, ann, too)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert answers[3].json()["code"] == "rate_limited"
        assert 0 < int(answers[3].headers["retry-after"]) <= 120
        with as_(running, "bob") as bob:
            assert bob.get("/v1/usage").json()["requests_per_minute"] == 3


def test_a_service_without_keys_counts_no_requests(start: Start, broker: str) -> None:
    with start(requests_per_minute=1) as running:
        answers = [running.http.get("/v1/usage") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].json()["requests_per_minute"] is None
