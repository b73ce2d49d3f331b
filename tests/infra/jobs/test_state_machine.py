"""Whatever workers, users and sweeps do to jobs, in whatever order, jobs move only as the states allow."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import lifecycle, queries, recovery
from infra.jobs import steps as job_steps
from infra.jobs.lifecycle import Outcome, StoredFile
from secateur.errors import TrainingDiverged
from secateur.protocol.states import FINAL, MOVES, RETRYABLE, JobState
from tests.infra.rows import at, job, queued

LEASE, MAX_ATTEMPTS = 30.0, 3
Held = tuple[str, int]


def reachable(start: JobState, moves: int) -> set[JobState]:
    """The states that a job may be in after at most so many moves."""
    reached = {start}
    for _ in range(moves):
        reached |= {target for state in reached for target in MOVES[state]}
    return reached


class Jobs(RuleBasedStateMachine):
    """Some jobs, and workers that hold attempts, those that lost theirs among them."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.clock = 0.0
        self.seen: dict[str, dict[str, Any]] = {}
        self.moves = 1

    ids: Bundle[str] = Bundle("ids")
    held: Bundle[Held] = Bundle("held")

    @initialize(target=ids)
    def two_jobs(self) -> Any:
        """Few, so that much happens to each."""
        return multiple(*(queued(self.database, limits={"max_pending_seconds": limit}) for limit in (40, 1000)))

    @rule(seconds=st.sampled_from([1.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock += seconds

    @rule(target=held, job_id=ids)
    def claim(self, job_id: str) -> Any:
        before = job(self.database, job_id)
        with self.database.write() as session:
            row = lifecycle.claim(session, job_id, lease_seconds=LEASE, now=at(self.clock))
        assert (row is not None) == (before.state == JobState.QUEUED)
        if row is None:
            return multiple()
        assert row.attempt == before.attempt + 1
        return row.id, row.attempt

    @rule(held=held)
    def heartbeat(self, held: Held) -> None:
        job_id, attempt = held
        with self.database.write() as session:
            steps = job_steps.steps_of(job(self.database, job_id))
            state = lifecycle.renew(session, *held, steps=steps, lease_seconds=LEASE, now=at(self.clock))
        row = job(self.database, job_id)
        holds = row.attempt == attempt and row.state in (JobState.RUNNING, JobState.CANCELLING)
        assert state == (row.state if holds else None)

    @rule(held=held, state=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]))
    def finish(self, held: Held, state: JobState) -> None:
        files = [StoredFile("a", "x/y", "sha256:0", 1)] if state == JobState.SUCCEEDED else []
        failure = TrainingDiverged("nan").failure() if state == JobState.FAILED else None
        with self.database.write() as session:
            ended = lifecycle.finish(session, *held, Outcome(state, failure, files), steps=[], now=at(self.clock))
        row = job(self.database, held[0])
        assert not ended or (row.attempt, row.state) == (held[1], state)

    @rule(held=held)
    def give_back(self, held: Held) -> None:
        with self.database.write() as session:
            lifecycle.requeue(session, *held, why="drained", now=at(self.clock))

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        with self.database.write() as session:
            lifecycle.cancel(session, job_id, now=at(self.clock))

    @rule(job_id=ids)
    def retry(self, job_id: str) -> None:
        """The one way out of a final state."""
        before = job(self.database, job_id)
        with self.database.write() as session:
            queued_again = lifecycle.retry(session, before, now=at(self.clock))
        assert queued_again == (before.state in RETRYABLE)
        if queued_again:
            self.seen[job_id] |= {"state": JobState.QUEUED}

    @rule(silence=st.sampled_from([0.0, LEASE + 1]))
    def sweep(self, silence: float) -> None:
        self.clock += silence
        self.moves = 2
        with self.database.write() as session:
            for row in recovery.recover(session, max_attempts=MAX_ATTEMPTS, resend_seconds=10, now=at(self.clock)):
                assert row.state == JobState.QUEUED
                lifecycle.mark_published(session, row.id, now=at(self.clock))

    @invariant()
    def jobs_move_as_the_states_allow(self) -> None:
        now = self._rows()
        for job_id, before in self.seen.items():
            after = now[job_id]
            assert JobState(after["state"]) in reachable(before["state"], self.moves)
            assert before["attempt"] <= after["attempt"]
            assert 0 <= after["charged"] <= after["attempt"]
            assert before["last_event"] <= after["last_event"]
            if before["state"] in FINAL:
                assert after == before
        for row in now.values():
            assert (row["state"] in FINAL) == (row["finished_at"] is not None)
            assert (row["state"] in (JobState.RUNNING, JobState.CANCELLING)) == (row["lease_until"] is not None)
            assert (row["files"] == 1) == (row["state"] == JobState.SUCCEEDED)
        self.seen, self.moves = now, 1

    def _rows(self) -> dict[str, dict[str, Any]]:
        with self.database.read() as session:
            rows = {}
            for row in queries.page(session, queries.Filter(), limit=1000):
                values = {column.key: getattr(row, column.key) for column in Job.__table__.columns}
                values["state"] = JobState(row.state)
                values["files"] = len(queries.artifacts(session, row.id))
                rows[row.id] = values
            return rows

    def teardown(self) -> None:
        """The next example starts with no jobs."""
        with self.database.write() as session:
            session.query(Job).delete()


def test_jobs_move_only_as_the_states_allow(database: Database) -> None:
    """The promise of the service: every accepted job reaches exactly one final state, and stays there."""
    run_state_machine_as_test(
        lambda: Jobs(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
