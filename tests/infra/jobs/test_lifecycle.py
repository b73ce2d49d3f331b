"""The life of a job row: who may move it, and what a move writes."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import lifecycle, queries, recovery
from infra.jobs import steps as job_steps
from infra.jobs.lifecycle import Outcome, StoredFile
from secateur.errors import Failure, TrainingDiverged
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import FINAL, JobState, StepState, UploadState
from tests.infra.rows import LEASE, at, claimed, job, queued, register, spec, upload

FILE = StoredFile("report.json", "application/json", "sha256:" + "0" * 64, 10)
DONE = Outcome(JobState.SUCCEEDED, files=[FILE])
FAULT: Failure = TrainingDiverged("The loss became nan.").failure("finetune")


def finish(database: Database, job_id: str, attempt: int, outcome: Outcome = DONE, *, seconds: float = 5) -> bool:
    with database.write() as session:
        return lifecycle.finish(session, job_id, attempt, outcome, steps=[StepProgress(name="x")], now=at(seconds))


def renew(database: Database, job_id: str, attempt: int, *, seconds: float = 5) -> JobState | None:
    with database.write() as session:
        steps = [StepProgress(name="x", state=StepState.RUNNING, progress=0.5)]
        return lifecycle.renew(session, job_id, attempt, steps=steps, lease_seconds=LEASE, now=at(seconds))


def cancel(database: Database, job_id: str, *, seconds: float = 5) -> JobState | None:
    with database.write() as session:
        return lifecycle.cancel(session, job_id, now=at(seconds))


def claim(database: Database, job_id: str, *, seconds: float = 5) -> Job | None:
    with database.write() as session:
        return lifecycle.claim(session, job_id, lease_seconds=LEASE, now=at(seconds))


def sweep(database: Database, *, seconds: float, max_attempts: int = 3) -> list[str]:
    with database.write() as session:
        due = recovery.recover(session, max_attempts=max_attempts, resend_seconds=10, now=at(seconds))
        return [job.id for job in due]


def test_a_new_job_waits_with_its_steps_planned(database: Database) -> None:
    job_id = queued(database, labels={"team": "vision"}, limits={"max_pending_seconds": 60})

    row = job(database, job_id)

    assert (row.state, row.attempt, row.pending_until) == (JobState.QUEUED, 0, at(60))
    assert [step.name for step in job_steps.steps_of(row)] == ["baseline", "prune", "measure"]
    assert row.spec == spec(labels={"team": "vision"}, limits={"max_pending_seconds": 60}).model_dump(mode="json")


def test_a_claim_starts_the_job_and_its_lease(database: Database) -> None:
    job_id = queued(database)

    row = claim(database, job_id, seconds=7)

    assert row is not None
    assert (row.state, row.attempt, row.started_at, row.lease_until) == (JobState.RUNNING, 1, at(7), at(7 + LEASE))


def test_of_twenty_who_claim_a_job_one_gets_it(database: Database) -> None:
    """Messages are delivered more than once; work must not start twice."""
    job_id = queued(database)
    barrier = threading.Barrier(20)

    def rush(_: int) -> Job | None:
        barrier.wait()
        return claim(database, job_id)

    with ThreadPoolExecutor(20) as pool:
        won = [row for row in pool.map(rush, range(20)) if row is not None]

    assert len(won) == 1
    assert job(database, job_id).attempt == 1


def test_a_heartbeat_saves_progress_and_extends_the_lease(database: Database) -> None:
    job_id, attempt = claimed(database)

    state = renew(database, job_id, attempt, seconds=20)

    row = job(database, job_id)
    assert state == JobState.RUNNING
    assert row.lease_until == at(20 + LEASE)
    assert job_steps.steps_of(row)[0].progress == 0.5


def test_a_heartbeat_tells_that_the_job_was_cancelled(database: Database) -> None:
    job_id, attempt = claimed(database)
    cancel(database, job_id)

    assert renew(database, job_id, attempt) == JobState.CANCELLING


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(DONE, id="succeeded"),
        pytest.param(Outcome(JobState.FAILED, FAULT), id="failed"),
    ],
)
def test_an_end_is_written_with_everything_that_belongs_to_it(database: Database, outcome: Outcome) -> None:
    job_id, attempt = claimed(database)

    assert finish(database, job_id, attempt, outcome, seconds=9)

    row = job(database, job_id)
    assert (row.state, row.finished_at, row.lease_until) == (outcome.state, at(9), None)
    assert row.failure == (outcome.failure.model_dump(mode="json") if outcome.failure else None)
    with database.read() as session:
        assert [file.name for file in queries.artifacts(session, job_id)] == [file.name for file in outcome.files]


def lost(database: Database) -> tuple[str, int]:
    """A job whose first attempt was lost and that another worker has claimed since."""
    job_id, attempt = claimed(database)
    sweep(database, seconds=LEASE + 1)
    assert claim(database, job_id, seconds=LEASE + 2) is not None
    return job_id, attempt


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda database, job_id, attempt: finish(database, job_id, attempt), id="finish"),
        pytest.param(lambda database, job_id, attempt: renew(database, job_id, attempt), id="renew"),
        pytest.param(lambda database, job_id, attempt: requeue(database, job_id, attempt), id="requeue"),
    ],
)
def test_a_worker_that_lost_its_lease_can_write_nothing(
    database: Database, write: Callable[[Database, str, int], object]
) -> None:
    """It may have been asleep for an hour; another attempt owns the job now."""
    job_id, old_attempt = lost(database)
    before = row_of(database, job_id)

    assert not write(database, job_id, old_attempt)

    assert row_of(database, job_id) == before


def row_of(database: Database, job_id: str) -> dict[str, object]:
    row = job(database, job_id)
    return {column.key: getattr(row, column.key) for column in Job.__table__.columns}


def requeue(database: Database, job_id: str, attempt: int) -> bool:
    with database.write() as session:
        return lifecycle.requeue(session, job_id, attempt, why="child_died", now=at(5))


@pytest.mark.parametrize("state", sorted(FINAL - {JobState.EXPIRED}))
def test_a_job_that_ended_stays_as_it_is(database: Database, state: JobState) -> None:
    job_id, attempt = claimed(database)
    if state == JobState.CANCELLED:
        cancel(database, job_id)
    assert finish(database, job_id, attempt, Outcome(state, FAULT if state == JobState.FAILED else None))
    before = row_of(database, job_id)

    refused = [
        finish(database, job_id, attempt, DONE),
        renew(database, job_id, attempt),
        requeue(database, job_id, attempt),
        cancel(database, job_id),
        claim(database, job_id),
        sweep(database, seconds=10**6),
    ]

    assert not any(refused)
    assert row_of(database, job_id) == before


def test_a_job_that_is_given_back_starts_again_from_its_first_step(database: Database) -> None:
    job_id, attempt = claimed(database)
    renew(database, job_id, attempt)

    assert requeue(database, job_id, attempt)

    row = job(database, job_id)
    assert (row.state, row.lease_until, row.published_at) == (JobState.QUEUED, None, None)
    assert {step.state for step in job_steps.steps_of(row)} == {StepState.PENDING}
    again = claim(database, job_id, seconds=8)
    assert again is not None
    assert (again.attempt, again.started_at) == (2, at(0))


def test_a_waiting_job_is_cancelled_at_once(database: Database) -> None:
    job_id = queued(database)

    assert cancel(database, job_id, seconds=3) == JobState.CANCELLED

    assert job(database, job_id).finished_at == at(3)
    assert claim(database, job_id) is None


def test_a_running_job_is_asked_to_stop_and_asking_again_is_the_same(database: Database) -> None:
    job_id, attempt = claimed(database)

    assert [cancel(database, job_id), cancel(database, job_id)] == [JobState.CANCELLING] * 2

    assert finish(database, job_id, attempt, Outcome(JobState.CANCELLED))


def test_a_job_ends_cancelled_only_when_somebody_asked_for_it(database: Database) -> None:
    job_id, attempt = claimed(database)

    assert not finish(database, job_id, attempt, Outcome(JobState.CANCELLED))

    assert job(database, job_id).state == JobState.RUNNING


def test_a_job_that_was_cancelled_is_not_given_back(database: Database) -> None:
    """Otherwise it would run once more, against its user's word."""
    job_id, attempt = claimed(database)
    cancel(database, job_id)

    assert not requeue(database, job_id, attempt)


def test_the_sweep_leaves_a_job_alone_whose_lease_holds(database: Database) -> None:
    job_id, _ = claimed(database)

    assert sweep(database, seconds=LEASE) == []

    assert job(database, job_id).state == JobState.RUNNING


def test_the_sweep_gives_a_lost_job_another_attempt(database: Database) -> None:
    job_id, _ = claimed(database)

    assert sweep(database, seconds=LEASE + 1) == [job_id]

    assert job(database, job_id).state == JobState.QUEUED


def test_the_sweep_ends_a_job_that_was_lost_too_often(database: Database) -> None:
    """A job that kills its worker must not do so for ever."""
    job_id, _ = claimed(database)
    sweep(database, seconds=LEASE + 1, max_attempts=2)
    claim(database, job_id, seconds=40)

    assert sweep(database, seconds=40 + LEASE + 1, max_attempts=2) == []

    row = job(database, job_id)
    assert row.state == JobState.FAILED
    assert row.failure is not None
    assert (row.failure["code"], row.failure["blame"]) == ("worker_crashed", "service")


def test_the_sweep_ends_a_cancelled_job_whose_worker_is_gone(database: Database) -> None:
    job_id, attempt = claimed(database)
    running = [StepProgress(name="prune", state=StepState.RUNNING, eta_seconds=9.0), StepProgress(name="measure")]
    with database.write() as session:
        lifecycle.renew(session, job_id, attempt, steps=running, lease_seconds=LEASE, now=at(0))
    cancel(database, job_id)

    assert sweep(database, seconds=LEASE + 1) == []

    row = job(database, job_id)
    assert row.state == JobState.CANCELLED
    assert [(step["state"], step["eta_seconds"]) for step in row.steps] == [("cancelled", None), ("pending", None)]


def test_the_sweep_ends_a_job_that_nobody_took_in_time(database: Database) -> None:
    job_id = queued(database, limits={"max_pending_seconds": 60})

    assert sweep(database, seconds=60) == [job_id]
    assert sweep(database, seconds=61) == []

    row = job(database, job_id)
    assert row.state == JobState.EXPIRED
    assert row.failure is not None
    assert row.failure["code"] == "pending_time_exceeded"


def test_a_job_that_started_in_time_does_not_expire_when_it_must_start_again(database: Database) -> None:
    """It ran for an hour and lost its worker: that is no reason to say that nobody took it."""
    job_id, _ = claimed(database, limits={"max_pending_seconds": 60})

    assert sweep(database, seconds=3600) == [job_id]
    assert sweep(database, seconds=3700) == [job_id]

    assert job(database, job_id).state == JobState.QUEUED


def test_sweeping_twice_is_sweeping_once(database: Database) -> None:
    ids = [claimed(database)[0] for _ in range(3)]
    assert sorted(sweep(database, seconds=LEASE + 1)) == sorted(ids)
    before = [row_of(database, job_id) for job_id in ids]

    sweep(database, seconds=LEASE + 1)

    assert [row_of(database, job_id) for job_id in ids] == before


def test_sweeps_side_by_side_set_each_job_right_once(database: Database) -> None:
    """Every worker sweeps; five may do it in the same instant."""
    ids = {claimed(database)[0] for _ in range(10)}
    barrier = threading.Barrier(5)

    def rush(_: int) -> None:
        barrier.wait()
        sweep(database, seconds=LEASE + 1, max_attempts=1)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(rush, range(5)))

    rows = [job(database, job_id) for job_id in ids]
    assert {row.state for row in rows} == {JobState.FAILED}
    assert {row.attempt for row in rows} == {1}


def test_a_message_is_sent_again_only_after_a_while(database: Database) -> None:
    """A broker that lost it must not lose the job; one that has it must not be flooded."""
    job_id = queued(database)
    assert sweep(database, seconds=1) == [job_id]
    with database.write() as session:
        lifecycle.mark_published(session, job_id, now=at(1))

    assert sweep(database, seconds=11) == []
    assert sweep(database, seconds=12) == [job_id]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        pytest.param(
            Outcome(JobState.SUCCEEDED, summary={"format": "keras"}), UploadState.READY, id="check found it good"
        ),
        pytest.param(Outcome(JobState.FAILED, FAULT), UploadState.REJECTED, id="check found it bad"),
    ],
)
def test_the_end_of_a_check_settles_its_upload(database: Database, outcome: Outcome, state: UploadState) -> None:
    row, check = register(database)
    assert check is not None
    claim(database, check.id)

    assert finish(database, check.id, 1, outcome)

    settled = upload(database, "model", row.id)
    assert settled.state == state
    assert settled.summary == outcome.summary
    assert settled.failure == (None if outcome.failure is None else outcome.failure.model_dump(mode="json"))


def test_job_and_upload_are_settled_in_one_transaction(database: Database) -> None:
    """A reader must never see a check that ended and an upload that still waits for it, nor a crash leave that."""
    row, check = register(database)
    assert check is not None
    claim(database, check.id)

    with pytest.raises(ZeroDivisionError):
        _finish_and_crash(database, check.id)

    assert job(database, check.id).state == JobState.RUNNING
    assert upload(database, "model", row.id).state == UploadState.CHECKING


def _finish_and_crash(database: Database, job_id: str) -> None:
    with database.write() as session:
        assert lifecycle.finish(session, job_id, 1, Outcome(JobState.SUCCEEDED, summary={}), steps=[], now=at(5))
        session.flush()
        raise ZeroDivisionError


def test_a_check_that_was_lost_too_often_rejects_its_upload(database: Database) -> None:
    """An upload must not stay in checking for ever, whatever happens to its check."""
    row, check = register(database)
    assert check is not None
    claim(database, check.id, seconds=0)

    sweep(database, seconds=LEASE + 1, max_attempts=1)

    settled = upload(database, "model", row.id)
    assert settled.state == UploadState.REJECTED
    assert settled.failure is not None
    assert settled.failure["code"] == "worker_crashed"
