"""The events of a job over HTTP: as a stream that nobody misses a thing of, and page by page."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.jobs import lifecycle
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from secateur.errors import Unavailable
from secateur.protocol.states import JobState
from service import event_feed
from service.routes import events
from tests.service.conftest import Running, Start, eventually
from tests.service.inputs import end, job, take, upload

STREAM = {"Accept": "text/event-stream"}
DONE = Outcome(JobState.SUCCEEDED)


def read(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of the events of a stream."""
    content: dict[str, Any] = {}
    for line in lines:
        if line.startswith("data: "):
            content = json.loads(line[6:])
        if line.startswith("id: "):
            yield int(line[4:]), content


def numbers(gateway: Running, job_id: str, *, last: int | None = None, **query: Any) -> list[int]:
    """The numbers of all events of a stream, until it ends."""
    headers = STREAM if last is None else STREAM | {"Last-Event-ID": str(last)}
    with gateway.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, params=query) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [number for number, _ in read(answer.iter_lines())]


def tell(gateway: Running, job_id: str, attempt: int, *entries: Entry) -> None:
    with gateway.parts.database.write() as session:
        assert lifecycle.renew(session, job_id, attempt, steps=[], lease_seconds=60, entries=entries)


def finish(gateway: Running, job_id: str, attempt: int) -> None:
    with gateway.parts.database.write() as session:
        assert lifecycle.finish(session, job_id, attempt, DONE, steps=[])


LOG = Entry("log", {"message": "a", "logger": "engine"}, "warning")


def test_a_stream_replays_what_was_goes_on_with_what_comes_and_ends_with_the_job(gateway: Running) -> None:
    job_id = job(gateway)
    attempt = take(gateway, job_id).attempt
    seen: list[tuple[int, str]] = []

    with gateway.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        for number, content in read(answer.iter_lines()):
            seen.append((number, content["kind"]))
            if number == 2:
                tell(gateway, job_id, attempt, LOG)
            if number == 3:
                finish(gateway, job_id, attempt)

    assert seen == [(1, "state"), (2, "state"), (3, "log"), (4, "state")]
    assert (content["body"], content["attempt"]) == ({"state": "succeeded"}, 1)


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(gateway: Running) -> None:
    job_id = job(gateway)
    end(gateway, job_id, DONE)

    assert numbers(gateway, job_id) == [1, 2, 3]
    assert numbers(gateway, job_id, last=2) == [3]
    assert numbers(gateway, job_id, after=1) == [2, 3]
    assert numbers(gateway, job_id, last=2, after=0) == [3]


def test_who_has_seen_the_end_is_told_not_to_come_back(gateway: Running) -> None:
    """A browser connects again for ever, unless the answer is 204."""
    job_id = job(gateway)
    end(gateway, job_id, DONE)

    answer = gateway.http.get(f"/v1/jobs/{job_id}/events", headers=STREAM | {"Last-Event-ID": "3"})

    assert (answer.status_code, answer.content) == (204, b"")


def test_a_long_story_is_replayed_in_full(gateway: Running) -> None:
    """Longer than a page, and than what is kept for all readers."""
    job_id = job(gateway)
    attempt = take(gateway, job_id).attempt
    for _ in range(5):
        tell(gateway, job_id, attempt, *[LOG] * 150)
    finish(gateway, job_id, attempt)

    assert numbers(gateway, job_id) == list(range(1, 754))


def test_a_burst_reaches_readers_whole(gateway: Running) -> None:
    job_id = job(gateway)
    attempt = take(gateway, job_id).attempt
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(numbers, gateway, job_id) for _ in range(4)]
        assert eventually(lambda: job_id in gateway.parts.feed._channels)
        for size in (10, 300, 5):
            tell(gateway, job_id, attempt, *[LOG] * size)
            time.sleep(0.3)
        finish(gateway, job_id, attempt)

        assert [reader.result() for reader in readers] == [list(range(1, 319))] * 4
    assert eventually(lambda: not gateway.parts.feed._channels)


def test_a_stream_shows_what_was_asked_for(gateway: Running) -> None:
    job_id = job(gateway)
    attempt = take(gateway, job_id).attempt
    tell(gateway, job_id, attempt, LOG, Entry("progress", {"step": "prune", "progress": 0.5}))
    finish(gateway, job_id, attempt)

    assert numbers(gateway, job_id, level="warning") == [3]
    assert numbers(gateway, job_id, kind=["progress", "log"]) == [3, 4]
    assert numbers(gateway, job_id, attempt=0) == [1]


def test_a_quiet_stream_is_kept_alive_with_comments(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.2)
    job_id = job(gateway)

    with gateway.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.iter_lines()
        first = next(lines)
        assert any(line.startswith(": ") for line in lines)

    assert first == "retry: 2000"
    assert eventually(lambda: job_id not in gateway.parts.feed._channels)  # nothing is left of a client that went


def test_a_job_that_is_deleted_ends_its_streams(gateway: Running) -> None:
    upload_id = upload(gateway, "model", state="checking")
    with gateway.parts.database.read() as session:
        check_id = session.query(lifecycle.Job).filter_by(upload_id=upload_id).one().id
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(numbers, gateway, check_id)
        assert eventually(lambda: check_id in gateway.parts.feed._channels)

        assert gateway.http.delete(f"/v1/models/{upload_id}").status_code == 204

        assert reader.result(timeout=10) == [1]


def test_a_gateway_that_leaves_ends_its_streams_and_another_goes_on(start: Start) -> None:
    with start() as gateway:
        job_id = job(gateway)
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(numbers, gateway, job_id)
            assert eventually(lambda: job_id in gateway.parts.feed._channels)
            gateway.parts.leaving.set()
            assert reader.result(timeout=20) == [1]
    with start() as gateway:
        end(gateway, job_id, DONE)

        assert numbers(gateway, job_id, last=1) == [2, 3]


def test_a_database_that_goes_away_ends_a_stream_so_that_its_reader_comes_back(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Any:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(event_feed.Feed, "_page", away)
    job_id = job(gateway)

    assert numbers(gateway, job_id) == []


def test_a_look_that_fails_is_followed_by_another(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers stay while a database is restarted."""
    real, failed = event_feed.Feed._news, threading.Event()

    def once_away(self: event_feed.Feed, known: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise Unavailable("The database does not answer.")
        return real(self, known)

    job_id = job(gateway)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(event_feed.Feed, "_news", once_away)
        reader = pool.submit(numbers, gateway, job_id)
        assert failed.wait(timeout=10)
        end(gateway, job_id, DONE)

        assert reader.result(timeout=10) == [1, 2, 3]


def test_readers_of_one_job_cost_one_query(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many read, the database is asked once."""
    asked: list[int] = []
    real = event_feed.Feed._news

    def counted(self: event_feed.Feed, known: Any) -> Any:
        asked.append(len(known))
        return real(self, known)

    monkeypatch.setattr(event_feed.Feed, "_news", counted)
    job_id = job(gateway)
    with ThreadPoolExecutor(20) as pool:
        readers = [pool.submit(numbers, gateway, job_id) for _ in range(20)]
        assert eventually(lambda: (c := gateway.parts.feed._channels.get(job_id)) is not None and c.readers == 20)
        asked.clear()
        began = time.monotonic()
        time.sleep(1.2)
        looks, seconds = len(asked), time.monotonic() - began
        end(gateway, job_id, DONE)

        assert [reader.result() for reader in readers] == [[1, 2, 3]] * 20
    assert 1 <= looks <= seconds / event_feed.POLL_SECONDS + 1
    assert set(asked) == {1}


def test_pages_lead_from_one_to_the_next_and_to_the_end(gateway: Running) -> None:
    job_id = job(gateway)
    end(gateway, job_id, DONE)

    first = gateway.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 2}).json()
    last = gateway.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 2, "after": first["next_after"]}).json()

    assert ([event["number"] for event in first["data"]], first["ended"]) == ([1, 2], False)
    assert ([event["number"] for event in last["data"]], last["ended"], last["next_after"]) == ([3], True, 3)


def test_a_page_that_is_filtered_skips_what_it_has_looked_at(gateway: Running) -> None:
    job_id = job(gateway)
    take(gateway, job_id)

    page = gateway.http.get(f"/v1/jobs/{job_id}/events", params={"level": "error"}).json()

    assert page == {"data": [], "next_after": 2, "ended": False}


def test_a_page_waits_for_the_next_event_and_no_longer(gateway: Running) -> None:
    job_id = job(gateway)
    timer = threading.Timer(0.4, take, [gateway, job_id])
    timer.start()

    came = gateway.http.get(f"/v1/jobs/{job_id}/events", params={"after": 1, "wait": 20}).json()
    timer.join()
    nothing = gateway.http.get(f"/v1/jobs/{job_id}/events", params={"after": 2, "wait": 0.3}).json()

    assert [event["body"]["state"] for event in came["data"]] == ["running"]
    assert nothing["data"] == []


@pytest.mark.parametrize("headers", [STREAM, {}], ids=["stream", "page"])
def test_a_job_that_is_not_there_has_no_events(headers: dict[str, str], gateway: Running) -> None:
    answer = gateway.http.get(f"/v1/jobs/job_{'0' * 20}/events", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("last", ["-1", "x", "9" * 30, "²", ""], ids=repr)
def test_a_last_event_that_is_no_number_of_ours_is_the_beginning(last: str, gateway: Running) -> None:
    job_id = job(gateway)
    end(gateway, job_id, DONE)
    request = httpx.Request(
        "GET", f"{gateway.url}/v1/jobs/{job_id}/events", headers=[*STREAM.items(), (b"Last-Event-ID", last.encode())]
    )

    answer = gateway.http.send(request)

    assert [number for number, _ in read(iter(answer.text.splitlines()))] == [1, 2, 3]
