"""For checks of uploads, owners take turns: an owner with many of them delays no other owner by more than one."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from infra.db.database import Database, now
from infra.db.tables import Job, Upload
from infra.jobs import lifecycle
from infra.uploads import uploads
from secateur.protocol.states import JobState, UploadState
from secateur.specs.reading import Reading
from tests.workers.conftest import Bench
from workers.supervision.claims import Claims


@pytest.fixture
def claims(bench: Bench) -> Claims:
    """The claims of one worker."""
    return Claims(bench.database, bench.settings)


def uploaded(database: Database, owner: str, content: str) -> str:
    """Register an upload whose message was published. Returns the id of its check."""
    with database.write() as session:
        _, check = uploads.register(
            session,
            "model",
            digest=f"sha256:{content}",
            num_bytes=1,
            name="m.keras",
            format="keras",
            reading=Reading(),
            owner=owner,
            now=now(),
        )
        assert check is not None
        lifecycle.mark_published(session, check.id)
        return check.id


def ended(claims: Claims, messages: list[str]) -> Iterator[str]:
    """Claim and end one check for each message, and give the owner of each."""
    for message in messages:
        with claims.claimed(message) as job:
            assert job is not None
            with claims.database.write() as session:
                outcome = lifecycle.Outcome(JobState.SUCCEEDED, summary={})
                assert lifecycle.finish(session, job.id, job.attempt, outcome, steps=[])
            yield job.owner


def test_a_small_file_is_checked_after_one_check_of_an_owner_with_many(bench: Bench, claims: Claims) -> None:
    """Ann's fifty files arrived first. The worker has one slot, and takes the messages in their order."""
    messages = [uploaded(bench.database, "ann", f"a{number}") for number in range(50)]
    with claims.claimed(messages.pop(0)) as first:  # a slow check of ann is under way
        assert first is not None
        messages += [uploaded(bench.database, "bob", "b0"), uploaded(bench.database, "bob", "b1")]

    owners = list(ended(claims, messages))

    assert owners[:4] == ["bob", "ann", "bob", "ann"]
    assert owners.count("ann") == 49
    with bench.database.read() as session:
        states = {job.state for job in session.query(Job).where(Job.id != first.id)}
        assert states == {JobState.SUCCEEDED}
        assert session.query(Upload).where(Upload.state == UploadState.CHECKING).count() == 1


def test_free_slots_of_other_workers_know_whose_checks_run(bench: Bench) -> None:
    """Each worker has its own turns; the database tells what the others run."""
    messages = [uploaded(bench.database, "ann", f"a{number}") for number in range(3)]
    one, other = Claims(bench.database, bench.settings), Claims(bench.database, bench.settings)
    with ExitStack() as running:
        assert running.enter_context(one.claimed(messages[0]))
        uploaded(bench.database, "bob", "b")

        second = running.enter_context(other.claimed(messages[1]))
        third = running.enter_context(other.claimed(messages[2]))

    assert second is not None
    assert third is not None
    assert [second.owner, third.owner] == ["bob", "ann"]


def test_an_owner_alone_has_all_slots(bench: Bench, claims: Claims) -> None:
    messages = [uploaded(bench.database, "ann", f"a{number}") for number in range(4)]

    with ExitStack() as running:
        taken = [running.enter_context(claims.claimed(message)) for message in messages]

    assert [job.id for job in taken if job is not None] == messages


def test_a_message_too_many_claims_nothing(bench: Bench, claims: Claims) -> None:
    """Reapers send messages again. A message about a check that has ended, or was deleted, is no error."""
    message = uploaded(bench.database, "ann", "a")

    assert list(ended(claims, [message])) == ["ann"]
    with claims.claimed(message) as again, claims.claimed("job_deleted") as gone:
        assert again is None
        assert gone is None


def test_a_check_that_failed_by_our_fault_waits_for_its_own_message(bench: Bench, claims: Claims) -> None:
    """The fault needs time to go away. The messages of other checks must not start it at once."""
    first, second = uploaded(bench.database, "ann", "a"), uploaded(bench.database, "ann", "b")
    with claims.claimed(first) as job, bench.database.write() as session:
        assert job is not None
        assert lifecycle.requeue(session, job.id, job.attempt, why="service_fault")

    assert list(ended(claims, [second])) == ["ann"]
    with claims.claimed(second) as nothing:
        assert nothing is None
    with claims.claimed(first) as again:
        assert again is not None
        assert again.id == first
