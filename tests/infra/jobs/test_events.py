"""What happened to a job: numbered, fenced like every other write, bounded, kept over attempts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.db.database import Database
from infra.jobs import events, lifecycle, trials
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome
from secateur.errors import TrainingDiverged
from secateur.protocol.events import JobEvent
from secateur.protocol.states import JobState
from tests.infra.jobs.test_lifecycle import cancel, claim, finish, sweep
from tests.infra.rows import LEASE, at, claimed, job, queued

FAULT = TrainingDiverged("The loss became nan.").failure("finetune")


def told(database: Database, job_id: str, **wanted: object) -> list[JobEvent]:
    with database.read() as session:
        return events.page(session, job_id, **wanted)  # type: ignore[arg-type]


def states(database: Database, job_id: str) -> list[str]:
    return [event.body["state"] for event in told(database, job_id, kinds=["state"])]


def renew(database: Database, job_id: str, attempt: int, *entries: Entry, seconds: float = 5) -> JobState | None:
    with database.write() as session:
        return lifecycle.renew(
            session, job_id, attempt, steps=[], lease_seconds=LEASE, entries=entries, now=at(seconds)
        )


def progress(number: int) -> Entry:
    return Entry("progress", {"step": "prune", "progress": number / 10_000})


def test_every_move_of_a_job_is_told_with_number_attempt_and_time(database: Database) -> None:
    job_id, attempt = claimed(database)
    finish(database, job_id, attempt, Outcome(JobState.FAILED, FAULT), seconds=9)

    found = told(database, job_id)

    assert [(event.number, event.attempt, event.at, event.body["state"]) for event in found] == [
        (1, 0, at(0), "queued"),
        (2, 1, at(0), "running"),
        (3, 1, at(9), "failed"),
    ]
    assert (found[2].level, found[2].body["failure"]["code"]) == ("error", "training_diverged")
    assert job(database, job_id).last_event == 3


def test_events_of_a_heartbeat_are_written_with_it_at_the_time_when_they_happened(database: Database) -> None:
    job_id, attempt = claimed(database)

    renew(database, job_id, attempt, Entry("log", {"message": "hello"}, "warning", age_seconds=2.0), seconds=7)

    (event,) = told(database, job_id, after=2)
    assert (event.number, event.kind, event.level, event.at) == (3, "log", "warning", at(5))


def test_an_attempt_that_lost_the_job_tells_nothing(database: Database) -> None:
    job_id, attempt = claimed(database)
    sweep(database, seconds=LEASE + 1)
    before = told(database, job_id)

    assert renew(database, job_id, attempt, progress(1)) is None
    assert not finish(database, job_id, attempt)

    assert told(database, job_id) == before


def test_what_goes_wrong_says_why_and_what_is_asked_twice_is_told_once(database: Database) -> None:
    job_id, _ = claimed(database)
    sweep(database, seconds=LEASE + 1)
    claim(database, job_id, seconds=40)
    cancel(database, job_id)
    cancel(database, job_id)
    finish(database, job_id, 2, Outcome(JobState.CANCELLED))

    assert states(database, job_id) == ["queued", "running", "queued", "running", "cancelling", "cancelled"]
    assert [event.body["why"] for event in told(database, job_id, level="warning")] == ["worker_lost"]


def test_an_expired_job_tells_its_failure(database: Database) -> None:
    job_id = queued(database, limits={"max_pending_seconds": 60})

    sweep(database, seconds=61)
    sweep(database, seconds=62)

    last = told(database, job_id)[-1]
    assert (last.number, last.body["state"], last.body["failure"]["code"]) == (2, "expired", "pending_time_exceeded")


def test_pages_filter_by_kind_level_and_attempt(database: Database) -> None:
    job_id, attempt = claimed(database)
    renew(database, job_id, attempt, progress(1), Entry("log", {"message": "a"}, "warning"), progress(2))

    def numbers(**wanted: object) -> list[int]:
        return [event.number for event in told(database, job_id, **wanted)]

    assert numbers(after=1, limit=2) == [2, 3]
    assert numbers(kinds=["progress"]) == [3, 5]
    assert numbers(level="warning") == [4]
    assert numbers(attempt=0) == [1]


def test_too_many_events_lose_their_oldest_progress_first_and_never_a_move(database: Database) -> None:
    job_id, attempt = claimed(database)
    renew(database, job_id, attempt, *[progress(number) for number in range(20)])
    renew(database, job_id, attempt, *[Entry("log", {"message": str(number)}) for number in range(10)])

    with database.write() as session:
        events.thin(session, job_id, keep=20)
    kept = told(database, job_id)
    with database.write() as session:
        events.thin(session, job_id, keep=5)

    assert [event.kind for event in kept] == ["state"] * 2 + ["progress"] * 8 + ["log"] * 10
    assert [event.number for event in kept if event.kind == "progress"] == list(range(15, 23))
    assert [event.kind for event in told(database, job_id)] == ["state"] * 2 + ["log"] * 3


def test_a_job_that_tells_without_end_keeps_a_bounded_number(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 300)
    monkeypatch.setattr(events.thin, "__kwdefaults__", {"keep": 300})
    job_id, attempt = claimed(database)

    for start in range(0, 2000, 100):
        renew(database, job_id, attempt, *[progress(start + number) for number in range(100)])

    assert len(told(database, job_id, limit=10_000)) <= 300 + events.CHECK_EVERY
    assert job(database, job_id).last_event == 2002


def test_a_text_without_end_is_cut(database: Database) -> None:
    job_id, attempt = claimed(database)

    renew(database, job_id, attempt, Entry("log", {"message": "x" * 10**6, "deep": [["y" * 10] * 9999]}))

    (event,) = told(database, job_id, kinds=["log"])
    assert (len(event.body["message"]), "deep" in event.body) == (2000, False)


def test_many_who_tell_at_once_get_numbers_of_their_own(database: Database) -> None:
    """The gateway tells of a cancel while the worker tells of its progress."""
    job_id, attempt = claimed(database)
    barrier = threading.Barrier(8)

    def rush(number: int) -> None:
        barrier.wait()
        renew(database, job_id, attempt, progress(number), progress(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rush, range(8)))

    assert [event.number for event in told(database, job_id)] == list(range(1, 19))


def test_one_query_tells_how_far_several_jobs_are(database: Database) -> None:
    (first, _), second = claimed(database), queued(database)

    with database.read() as session:
        found = events.event_positions(session, [first, second, "job_" + "0" * 20])

    assert found == {
        first: events.EventPosition(2, JobState.RUNNING),
        second: events.EventPosition(1, JobState.QUEUED),
    }


def test_deleting_a_job_deletes_its_events(database: Database) -> None:
    job_id, _ = claimed(database)

    with database.write() as session:
        session.delete(session.get(lifecycle.Job, job_id))

    assert told(database, job_id) == []


def test_another_attempt_keeps_what_the_one_before_told(database: Database) -> None:
    """Whoever tries again wants to know what went wrong the last time."""
    job_id, attempt = claimed(database)
    finish(database, job_id, attempt, Outcome(JobState.FAILED, FAULT))
    with database.write() as session:
        assert trials.retry(session, job(database, job_id), now=at(20))
    claim(database, job_id, seconds=21)

    first = told(database, job_id, attempt=1)

    assert first[1].body["failure"] == FAULT.model_dump(mode="json")
    assert [event.body["state"] for event in told(database, job_id, attempt=2)] == ["running"]
    assert states(database, job_id) == ["queued", "running", "failed", "queued", "running"]
