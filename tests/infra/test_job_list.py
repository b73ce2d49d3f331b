"""Reading jobs: filters, pages, counts and places in the queue."""

from typing import Any

import pytest

from infra import job_list, jobs
from infra.database import Database
from infra.job_list import Filter
from jobspec.states import JobState
from tests.infra.rows import LEASE, MODEL_ID, at, job, queued, uploaded

OTHER_MODEL = "mdl_" + "1" * 20


def listed(database: Database, wanted: Filter, **page: Any) -> list[str]:
    with database.read() as session:
        return [row.id for row in job_list.page(session, wanted, **({"limit": 100} | page))]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(Filter(), ["c", "b", "a"], id="all but checks, newest first"),
        pytest.param(Filter(kind="check_model"), ["check"], id="checks"),
        pytest.param(Filter(kind="compress"), ["c", "b", "a"], id="by kind"),
        pytest.param(Filter(state=JobState.RUNNING), ["b"], id="by state"),
        pytest.param(Filter(model_id=MODEL_ID), ["b", "a"], id="by model"),
        pytest.param(Filter(dataset_id="dst_" + "9" * 20), [], id="by data set"),
        pytest.param(Filter(labels={"team": "vision"}), ["b", "a"], id="by label"),
        pytest.param(Filter(labels={"team": "vision", "run": "2"}), ["b"], id="by both labels"),
        pytest.param(Filter(labels={"team": "audio"}), [], id="by a label that nobody has"),
        pytest.param(Filter(state=JobState.QUEUED, labels={"team": "vision"}), ["a"], id="by state and label"),
    ],
)
def test_jobs_can_be_listed_by_what_they_are(database: Database, wanted: Filter, expected: list[str]) -> None:
    names = {
        queued(database, seconds=1, labels={"team": "vision", "run": "1"}): "a",
        queued(database, seconds=2, labels={"team": "vision", "run": "2"}): "b",
        queued(database, seconds=3, model_id=OTHER_MODEL): "c",
    }
    with database.write() as session:
        jobs.claim(session, list(names)[1], lease_seconds=LEASE, now=at(4))
    uploaded(database)

    found = listed(database, wanted)

    assert [names.get(job_id, "check") for job_id in found] == expected


def test_pages_lose_nothing_between_jobs_of_the_same_instant(database: Database) -> None:
    ids = {queued(database, seconds=seconds) for seconds in (1, 2, 2, 2, 3)}
    seen: list[str] = []

    while page := listed(database, Filter(), limit=2, after=_position(database, seen)):
        seen += page

    assert set(seen) == ids
    assert len(seen) == len(ids)


def _position(database: Database, seen: list[str]) -> Any:
    return (job(database, seen[-1]).created_at, seen[-1]) if seen else None


def test_counts_tell_every_state(database: Database) -> None:
    queued(database)
    second = queued(database)
    with database.write() as session:
        jobs.cancel(session, second, now=at(1))

    with database.read() as session:
        counts = job_list.counts(session, Filter())

    assert set(counts) == set(JobState)
    assert {state: count for state, count in counts.items() if count} == {JobState.QUEUED: 1, JobState.CANCELLED: 1}


def test_a_waiting_job_knows_how_many_wait_before_it(database: Database) -> None:
    uploaded(database)  # its check waits in another queue
    first, second, third = (queued(database, seconds=seconds) for seconds in (1, 2, 3))
    with database.write() as session:
        jobs.claim(session, first, lease_seconds=LEASE, now=at(4))

    with database.read() as session:
        places = [job_list.queue_position(session, job(database, job_id)) for job_id in (first, second, third)]

    assert places == [None, 0, 1]
