"""A job that is made of jobs: it lets them go, waits without a worker, and is taken again when all have ended."""

from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import creation, lifecycle, queries
from infra.jobs import steps as job_steps
from infra.jobs import trials as sweep_trials
from infra.jobs.lifecycle import Outcome, StoredFile
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import FINAL, JobState, StepState
from secateur.specs.sweep import SweepSpec
from tests.infra.jobs.test_lifecycle import cancel, claim, finish, renew, sweep
from tests.infra.rows import DATASET_ID, LEASE, MODEL_ID, at, job

SPEC = SweepSpec(kind="sweep", model_id=MODEL_ID, dataset_id=DATASET_ID, sparsities=(0.5, 0.9))
KEPT = Outcome(JobState.SUCCEEDED, files=[StoredFile("baseline.npz", "x", "sha256:" + "1" * 64, 10)])


def spread(database: Database, parent: Job) -> list[str]:
    with database.write() as session:
        steps = job_steps.steps_of(parent)
        children = [SPEC.job_of(trial) for trial in SPEC.trials()]
        return [row.id for row in sweep_trials.fan_out(session, parent, KEPT, children, steps=steps, now=at(5))]


def begun(database: Database) -> tuple[Job, list[str]]:
    """A sweep whose first half is over, and its trials."""
    with database.write() as session:
        parent_id = creation.create_job(session, SPEC, now=at(0)).id
    parent = claim(database, parent_id, seconds=1)
    assert parent is not None
    return parent, spread(database, parent)


def end(database: Database, job_id: str, seconds: float = 8) -> None:
    taken = claim(database, job_id, seconds=6)
    assert taken is not None
    assert finish(database, job_id, taken.attempt, seconds=seconds)


def steps(database: Database, job_id: str) -> dict[str, StepProgress]:
    with database.read() as session:
        found = queries.get(session, job_id)
        assert found is not None
        return {step.name: step for step in sweep_trials.steps_of(session, found)}


def test_a_sweep_lets_its_trials_go_and_keeps_what_it_measured(database: Database) -> None:
    parent, trials = begun(database)

    row = job(database, parent.id)
    assert (row.state, row.lease_until) == (JobState.RUNNING, None)
    assert [(job(database, trial).state, job(database, trial).position) for trial in trials] == [
        ("queued", 0),
        ("queued", 1),
    ]
    with database.read() as session:
        assert [file.name for file in queries.artifacts(session, parent.id)] == ["baseline.npz"]


def test_nobody_takes_it_before_the_last_trial_has_ended(database: Database) -> None:
    parent, (first, second) = begun(database)

    assert claim(database, parent.id) is None
    end(database, first)
    assert claim(database, parent.id) is None
    end(database, second)

    taken = claim(database, parent.id, seconds=9)
    assert taken is not None
    assert (taken.state, taken.attempt) == (JobState.RUNNING, parent.attempt + 1)
    assert claim(database, parent.id, seconds=9) is None
    assert finish(database, parent.id, taken.attempt, seconds=10)


def test_a_trial_that_ends_otherwise_counts_as_ended(database: Database) -> None:
    parent, (first, second) = begun(database)

    end(database, first)
    cancel(database, second)

    assert claim(database, parent.id) is not None


def test_a_late_heartbeat_does_not_take_it_back(database: Database) -> None:
    """The thread that renews the lease beats once more while the trials are being written."""
    parent, _ = begun(database)

    assert renew(database, parent.id, parent.attempt) is None
    assert job(database, parent.id).lease_until is None
    assert not finish(database, parent.id, parent.attempt)


def test_an_attempt_that_lost_the_job_makes_no_trials(database: Database) -> None:
    with database.write() as session:
        parent_id = creation.create_job(session, SPEC, now=at(0)).id
    late = claim(database, parent_id, seconds=0)
    sweep(database, seconds=LEASE + 1)
    assert claim(database, parent_id, seconds=LEASE + 2) is not None
    assert late is not None

    assert spread(database, late) == []
    with database.read() as session:
        assert sweep_trials.children(session, parent_id) == []


def test_a_sweep_of_the_workers_sends_a_due_sweep_again(database: Database) -> None:
    """In case that the worker of the last trial could not."""
    parent, trials = begun(database)
    assert parent.id not in sweep(database, seconds=20)

    for trial in trials:
        end(database, trial)

    assert parent.id in sweep(database, seconds=20)
    with database.read() as session:
        last = sweep_trials.due_parent(session, job(database, trials[-1]))
    assert last is not None
    assert last.id == parent.id


def test_its_steps_tell_how_many_have_ended_and_how_long_the_rest_takes(database: Database) -> None:
    parent, (first, _) = begun(database)
    assert (steps(database, parent.id)["trials"].progress, steps(database, parent.id)["trials"].eta_seconds) == (
        0.0,
        None,
    )

    end(database, first, seconds=8)

    told = steps(database, parent.id)["trials"]
    assert (told.state, told.progress, told.eta_seconds) == (StepState.RUNNING, 0.5, 2.0)
    assert told.message == "1 of 2 ended, 0 running"


def test_cancelling_a_sweep_cancels_its_trials(database: Database) -> None:
    parent, (first, second) = begun(database)
    running = claim(database, first, seconds=6)
    assert running is not None

    with database.write() as session:
        lifecycle.cancel(session, parent.id, now=at(7))
        sweep_trials.cancel(session, parent.id, now=at(7))

    assert job(database, parent.id).state == JobState.CANCELLED
    waited = steps(database, parent.id)["trials"]
    assert (waited.state, waited.progress, waited.eta_seconds) == (StepState.CANCELLED, 0.5, None)
    assert (job(database, first).state, job(database, second).state) == (JobState.CANCELLING, JobState.CANCELLED)
    assert finish(database, first, running.attempt, Outcome(JobState.CANCELLED))
    assert claim(database, parent.id) is None
    assert job(database, parent.id).state in FINAL


def test_trials_stand_in_no_list_but_that_of_their_sweep(database: Database) -> None:
    parent, trials = begun(database)

    with database.read() as session:
        everything = queries.page(session, queries.Filter(), limit=10)
        family = queries.page(session, queries.Filter(parent_id=parent.id), limit=10)

    assert [row.id for row in everything] == [parent.id]
    assert {row.id for row in family} == set(trials)


def test_trials_do_not_expire_while_they_wait_for_each_other(database: Database) -> None:
    parent, trials = begun(database)

    sweep(database, seconds=400_000)

    assert {job(database, trial).state for trial in trials} == {JobState.QUEUED}
    assert job(database, parent.id).state == JobState.RUNNING


def test_trials_wait_in_their_order_and_stand_in_no_list_of_their_kind(database: Database) -> None:
    _, trials = begun(database)

    with database.read() as session:
        rows = [queries.get(session, trial) for trial in trials]
        assert [queries.queue_position(session, row) for row in rows if row is not None] == [0, 1]
        assert queries.page(session, queries.Filter(kind="compress"), limit=10) == []


def test_what_is_let_go_once_is_not_let_go_again(database: Database) -> None:
    """As when the answer to the first commit was lost."""
    parent, trials = begun(database)

    assert spread(database, parent) == []
    with database.read() as session:
        assert [row.id for row in sweep_trials.children(session, parent.id)] == trials


def test_a_gathering_that_is_given_back_keeps_what_was_done_before(database: Database) -> None:
    parent, trials = begun(database)
    for trial in trials:
        end(database, trial)
    taken = claim(database, parent.id, seconds=9)
    assert taken is not None
    done = [
        StepProgress(name="baseline", state=StepState.SUCCEEDED),
        StepProgress(name="trials", state=StepState.RUNNING),
    ]
    with database.write() as session:
        lifecycle.renew(session, parent.id, taken.attempt, steps=done, lease_seconds=LEASE, now=at(10))

    with database.write() as session:
        assert lifecycle.requeue(session, parent.id, taken.attempt, why="child_died", now=at(11))

    states = [(step.name, step.state) for step in job_steps.steps_of(job(database, parent.id))]
    assert states == [("baseline", StepState.SUCCEEDED), ("trials", StepState.PENDING)]
