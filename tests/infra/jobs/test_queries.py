"""Reading jobs: filters, pages, counts and places in the queue."""

from typing import Any

import pytest

from infra.db.database import Database
from infra.jobs import creation, lifecycle, queries
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.jobs.queries import Filter
from secateur.protocol.states import JobState
from secateur.specs.kinds import SPECS
from tests.infra.rows import DATASET_ID, LEASE, MODEL_ID, at, job, queued, register, uploaded

OTHER_MODEL = "mdl_" + "1" * 20


def listed(database: Database, wanted: Filter, **page: Any) -> list[str]:
    with database.read() as session:
        return [row.id for row in queries.page(session, wanted, **({"limit": 100} | page))]


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
        lifecycle.claim(session, list(names)[1], lease_seconds=LEASE, now=at(4))
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
        lifecycle.cancel(session, second, now=at(1))

    with database.read() as session:
        counts = queries.counts(session, Filter())

    assert set(counts) == set(JobState)
    assert {state: count for state, count in counts.items() if count} == {JobState.QUEUED: 1, JobState.CANCELLED: 1}


def test_a_waiting_job_knows_how_many_wait_before_it(database: Database) -> None:
    """The same workers run jobs of every kind, in the order in which they came."""
    uploaded(database)  # its check waits in another queue
    first, second, third = (queued(database, seconds=seconds) for seconds in (1, 2, 3))
    inputs = {"model_id": MODEL_ID, "dataset_id": DATASET_ID}
    other = SPECS["sensitivity"].model_validate({"kind": "sensitivity", **inputs})
    with database.write() as session:
        last = creation.create_job(session, other, now=at(2.5)).id
    with database.write() as session:
        lifecycle.claim(session, first, lease_seconds=LEASE, now=at(4))

    with database.read() as session:
        places = [queries.queue_position(session, job(database, job_id)) for job_id in (first, second, last, third)]

    assert places == [None, 0, 1, 2]


def left(database: Database, seconds: float, content: str, *, name: str = "curves.json", **inputs: str) -> None:
    """A job that ended at that time and left this file."""
    job_id = queued(database, **inputs)
    with database.write() as session:
        claimed = lifecycle.claim(session, job_id, lease_seconds=LEASE, now=at(seconds))
        assert claimed is not None
        outcome = Outcome(JobState.SUCCEEDED, files=[StoredFile(name, "x", f"sha256:{content}", 1)])
        lifecycle.finish(session, job_id, claimed.attempt, outcome, steps=(), now=at(seconds))


def test_files_of_earlier_jobs_are_found_by_the_content_of_their_inputs(database: Database) -> None:
    """The same data under another scale has another id, and a measurement on it may still fit."""
    model, other = uploaded(database, "m"), uploaded(database, "n")
    data, scaled = (register(database, "d", "dataset", scale=scale)[0] for scale in ("none", "1/255"))
    inputs = {"model_id": model.id, "dataset_id": data.id}
    for seconds, content in ((1, "old"), (3, "new"), (2, "middle"), (4, "old")):
        left(database, seconds, content, **inputs)
    left(database, 5, "scaled", model_id=model.id, dataset_id=scaled.id)
    left(database, 6, "another model", model_id=other.id, dataset_id=data.id)
    left(database, 7, "another file", name="report.json", **inputs)
    queued(database, **inputs)

    with database.read() as session:
        digests = {"model_digest": model.digest, "dataset_digest": data.digest}
        found = queries.artifact_digests(session, "curves.json", owner="local", **digests, limit=3)

    assert found == ("sha256:scaled", "sha256:old", "sha256:new")


def test_what_somebody_else_measured_on_the_same_content_is_not_found(database: Database) -> None:
    """It would tell that they have the same model."""
    model, data = uploaded(database, "m"), uploaded(database, "d", "dataset")
    left(database, 1, "mine", model_id=model.id, dataset_id=data.id)

    with database.read() as session:
        digests = {"model_digest": model.digest, "dataset_digest": data.digest}
        owners = {
            owner: queries.artifact_digests(session, "curves.json", owner=owner, **digests, limit=3)
            for owner in ("local", "somebody")
        }

    assert owners == {"local": ("sha256:mine",), "somebody": ()}
