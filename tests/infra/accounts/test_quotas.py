"""Quotas: what counts, what does not, and that no two take the last place."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from infra.accounts import quotas
from infra.accounts.quotas import Usage
from infra.db import locks
from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import checks, creation, lifecycle, recovery
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.uploads import uploads
from secateur.errors import QuotaExceeded
from secateur.protocol.states import JobState
from secateur.specs.reading import Reading
from tests.infra.rows import LEASE, at, job, spec

NONE = Usage(stored_bytes=0, queued_jobs=0, running_jobs=0, queued_checks=0)


def upload(database: Database, owner: str, num_bytes: int, content: str) -> None:
    with database.write() as session:
        uploads.register(
            session,
            "model",
            digest=f"sha256:{content}",
            num_bytes=num_bytes,
            name="m",
            format="keras",
            reading=Reading(),
            owner=owner,
            now=at(0),
        )


def queued(database: Database, owner: str, *, seconds: float = 0) -> str:
    with database.write() as session:
        return creation.create_job(session, spec(), owner=owner, now=at(seconds)).id


def claim(database: Database, job_id: str, limits: Usage) -> Job | None:
    with database.write() as session:
        return quotas.claim(session, job_id, lambda *_: limits, lease_seconds=LEASE, now=at(1))


def end(database: Database, held: Job, *, files: tuple[StoredFile, ...] = ()) -> None:
    with database.write() as session:
        outcome = Outcome(JobState.SUCCEEDED, files=files)
        assert lifecycle.finish(session, held.id, held.attempt, outcome, steps=[], now=at(2))


def used(database: Database, owner: str) -> Usage:
    with database.read() as session:
        return quotas.usage(session, owner)


def test_usage_counts_uploads_files_and_jobs_of_the_owner_alone(database: Database) -> None:
    """Equal content counts for each; its owners do not know of each other."""
    upload(database, "ann", 100, "same")
    upload(database, "bob", 100, "same")
    done, running = claim(database, queued(database, "ann"), NONE), claim(database, queued(database, "ann"), NONE)
    assert done is not None
    assert running is not None
    end(database, done, files=(StoredFile("a", "x/y", "sha256:a", 7), StoredFile("b", "x/y", "sha256:b", 5)))
    queued(database, "ann")

    assert used(database, "ann") == Usage(stored_bytes=112, queued_jobs=1, running_jobs=1, queued_checks=1)
    assert used(database, "bob") == Usage(stored_bytes=100, queued_jobs=0, running_jobs=0, queued_checks=1)


def test_the_last_byte_fits_and_the_next_does_not(database: Database) -> None:
    upload(database, "ann", 90, "a")
    limits = replace(NONE, stored_bytes=100)

    with database.read() as session:
        quotas.check_storage(session, "ann", 10, limits)
        quotas.check_storage(session, "bob", 100, limits)
        quotas.check_storage(session, "ann", 1000, NONE)
        with pytest.raises(QuotaExceeded, match="stores 90 bytes; 11 more"):
            quotas.check_storage(session, "ann", 11, limits)


def test_of_many_who_take_the_last_places_in_the_queue_at_once_just_as_many_get_one(database: Database) -> None:
    limits, barrier = replace(NONE, queued_jobs=3), threading.Barrier(8)

    def rush(_: int) -> bool:
        barrier.wait()
        try:
            with database.write() as session:
                locks.hold(session, "owner", ["ann"])
                quotas.check_queue(session, "ann", limits)
                creation.create_job(session, spec(), owner="ann", now=at(0))
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(rush, range(8)))

    assert accepted == 3
    assert used(database, "ann").queued_jobs == 3


def test_of_many_claims_at_once_no_more_run_than_allowed(database: Database) -> None:
    ids, limits, barrier = (
        [queued(database, "ann") for _ in range(6)],
        replace(NONE, running_jobs=2),
        threading.Barrier(6),
    )

    def rush(job_id: str) -> bool:
        barrier.wait()
        return claim(database, job_id, limits) is not None

    with ThreadPoolExecutor(6) as pool:
        taken = sum(pool.map(rush, ids))

    assert taken == 2
    assert used(database, "ann") == Usage(stored_bytes=0, queued_jobs=4, running_jobs=2, queued_checks=0)


def test_an_owner_at_the_limit_keeps_nobody_else_waiting(database: Database) -> None:
    """Neither a worker's slot nor a place in the sweep's list."""
    limits = replace(NONE, running_jobs=1)
    first, second, others = (
        queued(database, "ann"),
        queued(database, "ann", seconds=1),
        queued(database, "bob", seconds=2),
    )
    assert claim(database, first, limits) is not None

    assert claim(database, second, limits) is None
    assert job(database, second).state == JobState.QUEUED
    with database.write() as session:
        due = recovery.recover(session, max_attempts=3, resend_seconds=0, now=at(10))
        assert [row.id for row in quotas.startable(session, due, lambda *_: limits)] == [others]
        assert [row.id for row in quotas.startable(session, due, lambda *_: NONE)] == [second, others]
    assert claim(database, others, limits) is not None


def test_owners_have_limits_of_their_own(database: Database) -> None:
    own = {"ann": replace(NONE, running_jobs=1), "bob": NONE}
    first, second, others = queued(database, "ann"), queued(database, "ann", seconds=1), queued(database, "bob")

    with database.write() as session:
        waiting = recovery.recover(session, max_attempts=3, resend_seconds=0, now=at(10))
        found = quotas.startable(session, waiting, lambda _, owner: own[owner])

    assert {row.id for row in found} == {first, others}
    assert second not in {row.id for row in found}


def test_the_end_of_a_job_lets_the_oldest_waiting_one_of_its_owner_start(database: Database) -> None:
    limits = replace(NONE, running_jobs=1)
    held = claim(database, queued(database, "ann"), limits)
    later, sooner = queued(database, "ann", seconds=5), queued(database, "ann", seconds=3)
    assert held is not None
    assert [claim(database, job_id, limits) for job_id in (later, sooner)] == [None, None]

    with database.read() as session:
        assert quotas.next_in_line(session, "ann", limits) is None
    end(database, held)

    with database.read() as session:
        waiting = quotas.next_in_line(session, "ann", limits)
    assert waiting is not None
    assert waiting.id == sooner


def test_a_sweep_that_waits_for_its_trials_does_not_stand_in_their_way(database: Database) -> None:
    """With one place for a running job, the parent would wait for trials that wait for it."""
    limits = replace(NONE, running_jobs=1)
    parent = claim(database, queued(database, "ann"), limits)
    assert parent is not None
    with database.write() as session:
        session.get_one(Job, parent.id).lease_until = None
    trial = queued(database, "ann")

    assert claim(database, trial, limits) is not None


def test_the_check_of_an_upload_runs_beside_any_number_of_jobs(database: Database) -> None:
    limits = replace(NONE, running_jobs=1)
    assert claim(database, queued(database, "ann"), limits) is not None
    upload(database, "ann", 1, "a")
    with database.read() as session:
        check = session.query(Job).filter(Job.upload_id.is_not(None)).one()

    assert claim(database, check.id, limits) is not None


def test_owners_may_have_so_many_uploads_that_wait_for_their_check(database: Database) -> None:
    """Checks that have begun do not count, nor do those of others."""
    limits = replace(NONE, queued_checks=2)
    upload(database, "ann", 1, "a")
    upload(database, "ann", 1, "b")
    upload(database, "bob", 1, "a")

    with database.write() as session:
        quotas.check_queued_checks(session, "bob", limits)
        quotas.check_queued_checks(session, "ann", NONE)
        quotas.check_queued_checks(session, "ann", limits, more=0)
        with pytest.raises(QuotaExceeded, match="may have 2 uploads that wait"):
            quotas.check_queued_checks(session, "ann", limits)
        first = checks.claim_next(session, "ann", named="", lease_seconds=LEASE, now=at(1))
        assert first is not None
        quotas.check_queued_checks(session, "ann", limits)
