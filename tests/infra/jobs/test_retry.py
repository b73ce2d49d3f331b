"""Another attempt at a job: what users ask for, what is charged, and what a sweep tries again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import lifecycle, queries, steps
from infra.jobs import trials as sweep_trials
from infra.jobs.lifecycle import Outcome, StoredFile
from secateur.errors import NotRetryable, TrainingDiverged
from secateur.protocol.states import JobState, StepState
from tests.infra.jobs.test_lifecycle import cancel, claim, finish, sweep
from tests.infra.jobs.test_trials import KEPT, begun
from tests.infra.rows import LEASE, at, claimed, job, queued

FAILED = Outcome(JobState.FAILED, TrainingDiverged("The loss became nan.").failure("finetune"))


def retry(database: Database, job_id: str, *, seconds: float = 20) -> list[str]:
    with database.write() as session:
        found = queries.get(session, job_id)
        assert found is not None
        return [row.id for row in sweep_trials.retry(session, found, now=at(seconds))]


def give_back(database: Database, job_id: str, attempt: int, why: lifecycle.RequeueReason) -> bool:
    with database.write() as session:
        return lifecycle.requeue(session, job_id, attempt, why=why, now=at(5))


def ended(database: Database, state: JobState) -> str:
    """A job that ended like this."""
    if state == JobState.EXPIRED:
        job_id = queued(database, limits={"max_pending_seconds": 1})
        sweep(database, seconds=2)
        return job_id
    job_id, attempt = claimed(database)
    if state == JobState.CANCELLED:
        cancel(database, job_id)
    assert finish(database, job_id, attempt, FAILED if state == JobState.FAILED else Outcome(state))
    return job_id


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
def test_a_job_that_did_not_succeed_waits_again_and_runs_as_its_next_attempt(
    database: Database, state: JobState
) -> None:
    job_id = ended(database, state)
    before = job(database, job_id).attempt

    assert retry(database, job_id) == [job_id]

    row = job(database, job_id)
    assert (row.state, row.attempt, row.charged, row.failure, row.finished_at) == ("queued", before, 0, None, None)
    assert {step.state for step in steps.steps_of(row)} <= {StepState.PENDING}
    again = claim(database, job_id, seconds=20)
    assert again is not None
    assert (again.attempt, again.charged, again.started_at) == (before + 1, 1, at(20))


def test_a_job_that_is_tried_again_may_wait_as_long_as_a_new_one(database: Database) -> None:
    job_id = ended(database, JobState.EXPIRED)

    retry(database, job_id, seconds=100)

    assert sweep(database, seconds=100.5) == [job_id]
    assert job(database, job_id).state == JobState.QUEUED
    sweep(database, seconds=102)
    assert job(database, job_id).state == JobState.EXPIRED


def test_what_succeeded_or_has_not_ended_is_not_tried_again(database: Database) -> None:
    succeeded, (running, _) = ended(database, JobState.SUCCEEDED), claimed(database)

    assert retry(database, succeeded) == retry(database, running) == retry(database, queued(database)) == []

    assert job(database, succeeded).state == JobState.SUCCEEDED


def test_a_late_worker_of_the_attempt_before_can_write_nothing(database: Database) -> None:
    job_id, attempt = claimed(database)
    assert finish(database, job_id, attempt, FAILED)
    retry(database, job_id)
    claim(database, job_id, seconds=21)

    assert not finish(database, job_id, attempt)


def test_an_attempt_that_was_drained_is_not_charged(database: Database) -> None:
    """A rolling update of an hour must not use up the attempts of a long job."""
    job_id = queued(database)
    for attempt in range(1, 6):
        assert claim(database, job_id) is not None
        assert give_back(database, job_id, attempt, "drained")

    row = claim(database, job_id)

    assert row is not None
    assert (row.attempt, row.charged) == (6, 1)
    sweep(database, seconds=LEASE + 60, max_attempts=2)
    assert job(database, job_id).state == JobState.QUEUED


@pytest.mark.parametrize("why", ["child_died", "worker_lost", "service_fault"])
def test_every_other_end_of_an_attempt_is_charged(database: Database, why: lifecycle.RequeueReason) -> None:
    job_id, attempt = claimed(database)

    assert give_back(database, job_id, attempt, why)

    assert job(database, job_id).charged == 1


def test_both_halves_of_a_sweep_are_charged_as_one(database: Database) -> None:
    parent, trials = begun(database)
    assert job(database, parent.id).charged == 0
    for trial in trials:
        taken = claim(database, trial, seconds=6)
        assert taken is not None
        finish(database, trial, taken.attempt)

    gathering = claim(database, parent.id, seconds=9)

    assert gathering is not None
    assert (gathering.attempt, gathering.charged) == (2, 1)


def gathered(database: Database, outcome: Outcome) -> tuple[str, str, str]:
    """A sweep of two trials, the first of which succeeded and the second failed; gathered with this outcome."""
    parent, (good, bad) = begun(database)
    for trial, end in ((good, Outcome(JobState.SUCCEEDED)), (bad, FAILED)):
        taken = claim(database, trial, seconds=6)
        assert taken is not None
        assert finish(database, trial, taken.attempt, end)
    gathering = claim(database, parent.id, seconds=9)
    assert gathering is not None
    assert finish(database, parent.id, gathering.attempt, outcome, seconds=10)
    return parent.id, good, bad


REPORT = StoredFile("report.json", "application/json", "sha256:" + "2" * 64, 10)


@pytest.mark.parametrize("outcome", [FAILED, Outcome(JobState.SUCCEEDED, files=[REPORT])], ids=["failed", "succeeded"])
def test_of_a_sweep_only_the_trials_that_missed_run_again_and_then_it_gathers(
    database: Database, outcome: Outcome
) -> None:
    parent, good, bad = gathered(database, outcome)

    assert retry(database, parent) == [bad]

    assert (job(database, good).state, job(database, bad).state) == ("succeeded", "queued")
    assert (job(database, parent).state, job(database, parent).lease_until) == ("running", None)
    with database.read() as session:
        assert sweep_trials.count(session, parent) == sweep_trials.Count(total=2, ended=1, running=0)
    taken = claim(database, bad, seconds=21)
    assert taken is not None
    assert claim(database, parent, seconds=21) is None
    finish(database, bad, taken.attempt, seconds=22)
    again = claim(database, parent, seconds=23)
    assert again is not None
    newer = StoredFile("report.json", "application/json", "sha256:" + "3" * 64, 11)
    assert finish(database, parent, again.attempt, Outcome(JobState.SUCCEEDED, files=[newer]), seconds=24)
    with database.read() as session:
        files = {file.name: file.num_bytes for file in queries.artifacts(session, parent)}
    assert files == {"baseline.npz": KEPT.files[0].num_bytes, "report.json": 11}


def test_a_sweep_whose_gathering_alone_failed_gathers_at_once(database: Database) -> None:
    parent, trials = begun(database)
    for trial in trials:
        taken = claim(database, trial, seconds=6)
        assert taken is not None
        finish(database, trial, taken.attempt)
    gathering = claim(database, parent.id, seconds=9)
    assert gathering is not None
    finish(database, parent.id, gathering.attempt, FAILED, seconds=10)

    assert retry(database, parent.id) == [parent.id]

    assert claim(database, parent.id, seconds=21) is not None


def test_a_sweep_of_which_all_succeeded_is_not_tried_again(database: Database) -> None:
    parent, trials = begun(database)
    for job_id in (*trials, parent.id):
        taken = claim(database, job_id, seconds=6)
        assert taken is not None
        finish(database, job_id, taken.attempt)

    assert retry(database, parent.id) == []


def test_a_cancelled_sweep_is_tried_again_only_when_its_trials_have_stopped(database: Database) -> None:
    parent, (first, _) = begun(database)
    running = claim(database, first, seconds=6)
    assert running is not None
    with database.write() as session:
        lifecycle.cancel(session, parent.id, now=at(7))
        sweep_trials.cancel(session, parent.id, now=at(7))

    with pytest.raises(NotRetryable):
        retry(database, parent.id)
    assert finish(database, first, running.attempt, Outcome(JobState.CANCELLED))

    assert len(retry(database, parent.id)) == 2


def test_ends_of_trials_and_the_cancelling_of_their_sweep_do_not_wait_in_a_circle(database: Database) -> None:
    """Each locks rows of jobs; on PostgreSQL a circle would fail one of them."""
    for _ in range(5):
        parent, trials = begun(database)
        held = [claim(database, trial, seconds=6) for trial in trials]
        barrier = threading.Barrier(3)

        def end(taken: Job | None, barrier: threading.Barrier = barrier) -> None:
            assert taken is not None
            barrier.wait()
            finish(database, taken.id, taken.attempt)
            with database.write() as session:
                sweep_trials.record_trial(session, taken)

        def cancel_all(parent_id: str = parent.id, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with database.write() as session:
                lifecycle.cancel(session, parent_id, now=at(7))
                sweep_trials.cancel(session, parent_id, now=at(7))

        with ThreadPoolExecutor(3) as pool:
            ends = [pool.submit(end, taken) for taken in held] + [pool.submit(cancel_all)]
            for each in ends:
                each.result(timeout=20)
        assert job(database, parent.id).state == JobState.CANCELLED


def test_a_job_that_is_tried_again_is_kept_as_long_as_a_new_one(database: Database) -> None:
    """Else its results could go minutes after they came."""
    job_id = ended(database, JobState.FAILED)
    with database.write() as session:
        row = session.get_one(Job, job_id)
        row.expires_at = row.created_at + timedelta(days=7)

    retry(database, job_id, seconds=6 * 86_400)

    expires_at = job(database, job_id).expires_at
    assert expires_at is not None
    assert expires_at >= at(13 * 86_400)
