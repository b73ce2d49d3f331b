"""What a running job keeps of itself: who is given it, and when it goes."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from infra.accounts import quotas
from infra.cleanup import retention
from infra.cleanup.garbage_collection import collect
from infra.db.database import now
from infra.jobs import checkpoints, lifecycle
from infra.jobs import steps as job_steps
from infra.jobs.lifecycle import Outcome, StoredFile
from secateur.protocol.keys import LOCAL_OWNER
from secateur.protocol.states import JobState, StepState
from tests.workers.conftest import Bench
from workers.supervision.checkpoints import CheckpointPolicy, Checkpoints


def steps(bench: Bench, job_id: str) -> dict[str, str]:
    return {step["name"]: step["state"] for step in bench.job(job_id).steps}


def content(bench: Bench, job_id: str) -> bytes:
    """Of the file that the job left."""
    (artifact,) = bench.artifacts(job_id)
    return stored(bench, artifact.digest)


def stored(bench: Bench, digest: str) -> bytes:
    bench.store.fetch(digest, path := bench.scratch.parent / "stored")
    found = path.read_bytes()
    path.unlink()
    return found


def test_the_next_attempt_goes_on_from_the_newest_checkpoint(bench: Bench) -> None:
    job_id = bench.compress()
    supervisor = bench.supervisor("keep_and_crash")

    supervisor.run(job_id)
    waiting, done = bench.job(job_id), steps(bench, job_id)
    held = [each for each in (b"far", b"farther") if bench.has_blob(each)]
    supervisor.run(job_id)

    assert (waiting.state, waiting.checkpoint_digest) == ("queued", f"sha256:{hashlib.sha256(b'farther').hexdigest()}")
    assert done == {"baseline": "succeeded", "prune": "pending", "measure": "pending"}
    assert held == [b"farther"], "an older one goes when a newer one is there"
    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 2)
    assert content(bench, job_id) == b"from farther"
    assert steps(bench, job_id)["baseline"] == "succeeded"


def test_a_job_that_has_ended_keeps_nothing_but_its_files(bench: Bench) -> None:
    job_id = bench.compress()
    supervisor = bench.supervisor("keep_and_crash")

    supervisor.run(job_id)
    supervisor.run(job_id)

    assert bench.job(job_id).checkpoint_digest is None
    assert not bench.has_blob(b"farther")


def test_cancelling_removes_the_checkpoint(bench: Bench) -> None:
    job_id = bench.compress()
    thread = bench.start("keep_and_hang", job_id)
    while not bench.has_blob(b"far"):
        assert thread.is_alive()

    with bench.database.write() as session:
        lifecycle.cancel(session, job_id)
    thread.join(timeout=30)

    assert (bench.job(job_id).state, bench.job(job_id).checkpoint_digest) == ("cancelled", None)
    assert not bench.has_blob(b"far")


def test_one_that_is_being_stored_while_the_job_is_cancelled_goes_too(bench: Bench) -> None:
    job_id = bench.compress()
    with bench.database.write() as session:
        job = lifecycle.claim(session, job_id, lease_seconds=60)
        assert job is not None
        lifecycle.cancel(session, job_id)
    kept = Checkpoints(bench.database, bench.store, job, CheckpointPolicy())
    (bench.scratch / "checkpoint.npz").write_bytes(b"far")

    kept.take(bench.scratch, steps=(), before_chunk=lambda: None)
    was_stored = bench.has_blob(b"far")
    with bench.database.write() as session:
        assert lifecycle.finish(session, job_id, job.attempt, Outcome(JobState.CANCELLED), steps=())
    kept.remove_unneeded()

    assert was_stored
    assert not bench.has_blob(b"far")


def test_one_that_comes_too_soon_after_another_is_dropped(bench: Bench) -> None:
    """A child may make as many as it likes; hashing and storing them would be all that its worker does."""
    job_id = bench.compress()
    with bench.database.write() as session:
        job = lifecycle.claim(session, job_id, lease_seconds=60)
        assert job is not None
    kept = Checkpoints(bench.database, bench.store, job, CheckpointPolicy(every_seconds=3600))
    for content in (b"far", b"farther"):
        (bench.scratch / "checkpoint.npz").write_bytes(content)
        kept.take(bench.scratch, steps=(), before_chunk=lambda: None)

    assert bench.has_blob(b"far")
    assert not bench.has_blob(b"farther")
    assert not list(bench.scratch.iterdir())


def test_a_job_that_failed_by_our_fault_goes_on_when_its_user_tries_it_again(bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    bench.supervisor("keep_again_and_crash").run(job_id)
    failed = bench.job(job_id)

    with bench.database.write() as session:
        assert lifecycle.retry(session, bench.job(job_id))
    bench.supervisor("keep_and_crash").run(job_id)

    assert failed.failure is not None
    assert (failed.state, failed.failure["code"]) == ("failed", "worker_crashed")
    assert content(bench, job_id) == b"from farthest"


def test_a_checkpoint_that_led_nowhere_is_not_tried_twice(bench: Bench) -> None:
    """What the attempt died of may lie in it."""
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)

    bench.supervisor("crash").run(job_id)

    assert bench.job(job_id).checkpoint_digest is None
    assert not bench.has_blob(b"farther")


def test_what_is_kept_of_a_failed_job_goes_after_a_day(bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    bench.supervisor("keep_again_and_crash").run(job_id)
    with bench.database.read() as session:
        owned = quotas.stored_bytes(session, LOCAL_OWNER)

    collect(bench.database, bench.store, grace_seconds=0, now=now() + timedelta(hours=23))
    kept = bench.job(job_id).checkpoint_digest
    collect(bench.database, bench.store, grace_seconds=0, now=now() + timedelta(hours=25))

    assert kept is not None
    assert bench.job(job_id).checkpoint_digest is None
    assert not bench.has_blob(b"farthest")
    with bench.database.read() as session:
        assert owned - quotas.stored_bytes(session, LOCAL_OWNER) == len(b"farthest")


def test_a_job_that_failed_by_its_own_fault_begins_anew(bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    bench.supervisor("fail").run(job_id)

    assert (bench.job(job_id).state, bench.job(job_id).checkpoint_digest) == ("failed", None)
    assert not bench.has_blob(b"farther")


def test_what_is_no_plain_file_is_not_taken_and_the_job_goes_on(bench: Bench) -> None:
    """A link would put a file of the worker into the next attempt's folder."""
    job_id = bench.compress()

    bench.supervisor("keep_what_is_not_its_own").run(job_id)

    assert bench.job(job_id).state == "succeeded"
    found = [stored(bench, blob.digest) for blob in bench.store.blobs()]
    assert Path("/etc/hostname").read_bytes() not in found


def test_bytes_that_are_lost_let_the_job_begin_anew(bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    bench.store.delete(bench.job(job_id).checkpoint_digest or "")

    bench.supervisor("succeed").run(job_id)

    assert bench.job(job_id).state == "succeeded"


def test_a_late_attempt_cannot_replace_the_checkpoint(bench: Bench) -> None:
    """The attempt number fences this write as it fences all others."""
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    with bench.database.write() as session:
        job = lifecycle.claim(session, job_id, lease_seconds=60)
        assert job is not None
        before = job.checkpoint_digest

        late = StoredFile("checkpoint.npz", "x", "sha256:late", 4)
        assert not checkpoints.keep(session, job_id, job.attempt - 1, late, steps=())

    assert bench.job(job_id).checkpoint_digest == before


def test_removing_a_job_removes_its_checkpoint(bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    bench.supervisor("keep_again_and_crash").run(job_id)
    assert bench.has_blob(b"farthest")

    with retention.removing(bench.database, bench.store) as removal:
        retention.remove_job(removal, bench.job(job_id))

    assert not bench.has_blob(b"farthest")


@pytest.mark.parametrize("state", [StepState.RUNNING, StepState.PENDING])
def test_only_steps_that_were_done_stay_done(state: StepState, bench: Bench) -> None:
    job_id = bench.compress()
    bench.supervisor("keep_and_crash").run(job_id)
    with bench.database.write() as session:
        job = lifecycle.claim(session, job_id, lease_seconds=60)
        assert job is not None
        seen = job_steps.steps_of(job)
        told = [step.model_copy(update={"state": state}) if step.name == "prune" else step for step in seen]
        new = StoredFile("checkpoint.npz", "x", "sha256:new", 3)
        assert checkpoints.keep(session, job_id, job.attempt, new, steps=told)
        assert lifecycle.requeue(session, job_id, job.attempt, why="drained", now=now())

    assert steps(bench, job_id) == {"baseline": "succeeded", "prune": "pending", "measure": "pending"}
