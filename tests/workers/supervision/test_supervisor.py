"""How an attempt at a job ends: every ending is typed, written once, and leaves nothing behind."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO

import pytest
from _pytest.mark import ParameterSet
from sqlalchemy import event

from infra.db.database import now
from infra.jobs import events, lifecycle, recovery
from infra.storage.digests import BeforeChunk
from infra.storage.store import Store
from tests.backing import Backing
from tests.workers.conftest import Bench, eventually
from workers.supervision import supervisor
from workers.supervision.assignments import CheckTime

EMBEDDED = pytest.mark.only("embedded", reason="what the child does is the same with every database and store")


def on_any_database(*behaviours: str) -> list[ParameterSet]:
    """Behaviours that are tried with one kind of database and store alone."""
    return [pytest.param(behaviour, marks=EMBEDDED) for behaviour in behaviours]


def test_a_job_that_works_leaves_its_files_and_its_steps(bench: Bench) -> None:
    """The whole point: fetched inputs in, stored artifacts out."""
    job_id = bench.compress()

    bench.supervisor("succeed").run(job_id)

    job, artifacts = bench.job(job_id), bench.artifacts(job_id)
    assert (job.state, job.failure, job.attempt) == ("succeeded", None, 1)
    assert [(step["name"], step["state"], step["message"]) for step in job.steps[:2]] == [
        ("baseline", "succeeded", "baseline done"),
        ("prune", "succeeded", "prune done"),
    ]
    assert [(file.name, file.num_bytes) for file in artifacts] == [("model.tflite", 25)]
    assert bench.has_blob(b"model bytes;dataset bytes")


def test_a_check_that_works_makes_its_upload_ready(bench: Bench) -> None:
    """What the check found out is what the gateway holds specs against."""
    upload_id, check_id = bench.upload("dataset", b"data")

    bench.supervisor("succeed").run(check_id)

    upload = bench.find_upload("dataset", upload_id)
    assert upload.state == "ready"
    assert upload.summary is not None
    assert upload.summary["num_classes"] == 2


def test_a_check_that_fails_rejects_its_upload_and_deletes_the_bytes(bench: Bench) -> None:
    """A rejected upload says why and keeps nothing else."""
    upload_id, check_id = bench.upload("dataset", b"bad data")

    bench.supervisor("fail").run(check_id)

    upload = bench.find_upload("dataset", upload_id)
    assert upload.state == "rejected"
    assert upload.failure is not None
    assert upload.failure["code"] == "training_diverged"
    assert not bench.has_blob(b"bad data")


def test_bytes_that_another_upload_needs_survive_a_rejection(bench: Bench) -> None:
    """Content is stored once, so the same bytes may be fine as something else."""
    _, model_check = bench.upload("model", b"shared bytes")
    bench.upload("dataset", b"shared bytes")

    bench.supervisor("fail").run(model_check)

    assert bench.has_blob(b"shared bytes")


def test_a_check_that_kills_its_child_every_time_rejects_its_upload(bench: Bench) -> None:
    """A poisonous upload must not be tried for ever."""
    upload_id, check_id = bench.upload("model", b"poison")

    for _ in range(bench.settings.max_attempts):
        bench.supervisor("crash").run(check_id)

    upload = bench.find_upload("model", upload_id)
    assert upload.state == "rejected"
    assert upload.failure is not None
    assert upload.failure["code"] == "worker_crashed"
    assert not bench.has_blob(b"poison")


ENDINGS = {
    "failed": ("fail", "training_diverged"),
    "floods its pipe": ("flood", "internal_error"),
    "prints without end": ("print_without_end", "internal_error"),
    "announces a path": ("lie", "internal_error"),
    "sends no JSON": ("gibberish", "internal_error"),
    "announces a missing file": ("announce_missing", "internal_error"),
    "announces a symlink": ("announce_link", "internal_error"),
    "replaces its output folder": ("replace_out", "internal_error"),
}


@EMBEDDED
@pytest.mark.parametrize(("behaviour", "code"), ENDINGS.values(), ids=ENDINGS)
def test_a_misbehaving_child_fails_its_job_at_once(bench: Bench, behaviour: str, code: str) -> None:
    """No child can hurt its worker, and what it says is believed only within the protocol."""
    job_id = bench.compress()

    bench.supervisor(behaviour).run(job_id)

    job = bench.job(job_id)
    assert job.state == "failed"
    assert job.failure is not None
    assert job.failure["code"] == code
    assert bench.artifacts(job_id) == []


@EMBEDDED
def test_a_check_that_finds_more_than_an_event_holds_makes_its_upload_ready(bench: Bench) -> None:
    """Thousands of layers or classes are no fault of whoever uploads them."""
    upload_id, check_id = bench.upload("dataset", b"data")

    bench.supervisor("find_many_classes").run(check_id)

    upload = bench.find_upload("dataset", upload_id)
    assert upload.state == "ready"
    assert upload.summary is not None
    assert upload.summary["classes"][-1].startswith("class 99999 of those")


@EMBEDDED
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        pytest.param("wrong_summary", "another type than expected", id="something else"),
        pytest.param("find_too_much", "more than 8388608 bytes", id="more than may be"),
        pytest.param("find_nothing", "left no file of that name", id="nothing"),
        pytest.param("find_what_is_not_its_own", "left no file of that name", id="a link"),
    ],
)
def test_a_check_that_finds_out_what_cannot_be_is_a_service_fault(bench: Bench, behaviour: str, said: str) -> None:
    """The gateway trusts summaries, so a false one must not reach it."""
    _, check_id = bench.upload("dataset", b"data")

    bench.supervisor(behaviour).run(check_id)

    job = bench.job(check_id)
    assert job.failure is not None
    assert job.failure["code"] == "internal_error"
    assert said in job.failure["detail"]


@pytest.mark.parametrize("behaviour", ["crash", *on_any_database("quit_quietly", "orphan_family")])
def test_a_child_that_dies_gives_its_job_another_attempt(bench: Bench, behaviour: str) -> None:
    """One crash may be bad luck; the job waits again with fresh steps."""
    job_id = bench.compress()

    bench.supervisor(behaviour).run(job_id)

    job = bench.job(job_id)
    assert (job.state, job.attempt, job.failure) == ("queued", 1, None)
    assert {step["state"] for step in job.steps} == {"pending"}


def test_the_attempt_after_a_crash_can_succeed(bench: Bench) -> None:
    """The second attempt starts in a clean folder of its own."""
    job_id = bench.compress()
    supervisor = bench.supervisor("crash_once")

    supervisor.run(job_id)
    supervisor.run(job_id)

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 2)


def test_a_child_that_dies_in_every_attempt_fails_its_job(bench: Bench) -> None:
    """The last failure names the signal and the step, for whoever reads it at night."""
    job_id = bench.compress()

    for _ in range(bench.settings.max_attempts + 1):
        bench.supervisor("crash").run(job_id)

    job = bench.job(job_id)
    assert (job.state, job.attempt) == ("failed", bench.settings.max_attempts)
    assert job.failure is not None
    assert (job.failure["code"], job.failure["step"]) == ("worker_crashed", "prune")
    assert "SIGKILL" in job.failure["detail"]


@pytest.mark.parametrize("behaviour", ["hang", *on_any_database("hang_with_family", "chatter", "leave_a_hole")])
def test_cancel_ends_the_child_with_all_its_family(bench: Bench, behaviour: str) -> None:
    """A cancelled job must stop costing, also when its processes ignore polite requests."""
    job_id = bench.compress()
    thread = bench.start(behaviour, job_id)

    with bench.database.write() as session:
        lifecycle.cancel(session, job_id, now=now())
    thread.join(timeout=30)

    assert bench.job(job_id).state == "cancelled"
    assert [step["state"] for step in bench.job(job_id).steps] == ["pending", "cancelled", "pending"]
    with bench.database.read() as session:
        ended = [event.body for event in events.page(session, job_id, kinds=["step"])]
    assert ended[-1] == {"step": "prune", "state": "cancelled"}


def test_a_job_that_is_cancelled_while_its_files_are_stored_leaves_none(bench: Bench) -> None:
    """Its user is told that it left nothing, so nothing may be stored that nobody can delete."""

    class Stuck(Store):
        def put_open(
            self,
            file: IO[bytes],
            digest: str,
            *,
            num_bytes: int | None = None,
            before_chunk: BeforeChunk = lambda: None,
        ) -> int:
            file.seek(0)
            while file.read() == b"two":
                file.seek(0)
                has_begun.set()
                before_chunk()
            return super().put_open(file, digest, num_bytes=num_bytes, before_chunk=before_chunk)

    has_begun = threading.Event()
    bench.store = Stuck.from_url(bench.settings.store)
    job_id = bench.compress()
    thread = bench.start("leave_two", job_id)
    assert has_begun.wait(30)
    assert bench.has_blob(b"one")

    with bench.database.write() as session:
        lifecycle.cancel(session, job_id, now=now())
    thread.join(timeout=30)

    assert bench.job(job_id).state == "cancelled"
    assert not bench.has_blob(b"one")
    assert bench.artifacts(job_id) == []


@pytest.mark.parametrize("behaviour", ["hang", *on_any_database("deaf", "close_pipe", "leave_a_hole")])
def test_a_job_that_runs_too_long_or_goes_silent_is_ended(bench: Bench, behaviour: str) -> None:
    """A hang is found by the clock alone: nothing the child does can prolong it."""
    job_id = bench.compress(max_runtime_seconds=1)

    bench.supervisor(behaviour).run(job_id)

    job = bench.job(job_id)
    assert job.failure is not None
    assert job.failure["code"] == "runtime_exceeded"


def test_a_small_file_gets_a_short_check(bench: Bench) -> None:
    """The time goes by its bytes, and the error does not speak of limits that no upload has."""
    upload_id, check_id = bench.upload("model", b"four")

    bench.supervisor("hang", check_time=CheckTime(base_seconds=0.5, bytes_per_second=8.0)).run(check_id)

    upload = bench.find_upload("model", upload_id)
    assert upload.failure is not None
    assert upload.failure["code"] == "runtime_exceeded"
    assert "SECATEUR_CHECK_SECONDS" in upload.failure["suggestions"][-1]


def test_a_worker_that_lost_its_lease_writes_nothing(bench: Bench) -> None:
    """Another attempt may be running: only one may speak for the job."""
    job_id = bench.compress()
    thread = bench.start("hang", job_id)

    with bench.database.write() as session:
        later = now() + timedelta(hours=1)
        recovery.recover(session, max_attempts=3, resend_seconds=15, now=later)
        taken = lifecycle.claim(session, job_id, lease_seconds=60, now=later)
    thread.join(timeout=30)

    assert taken is not None
    job = bench.job(job_id)
    assert (job.state, job.attempt) == ("running", 2)
    assert {step["state"] for step in job.steps} == {"pending"}


@pytest.mark.parametrize("behaviour", ["hang", *on_any_database("leave_a_hole")])
def test_a_draining_worker_gives_its_job_back(bench: Bench, behaviour: str) -> None:
    """Restarting a worker must not fail anybody's job."""
    job_id = bench.compress()
    thread = bench.start(behaviour, job_id)

    bench.draining.set()
    thread.join(timeout=30)

    assert (bench.job(job_id).state, bench.job(job_id).published_at) == ("queued", None)


def test_a_draining_worker_takes_no_job(bench: Bench) -> None:
    """What it took now it would have to give back at once."""
    job_id = bench.compress()
    bench.draining.set()

    bench.supervisor("succeed").run(job_id)

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("queued", 0)


def test_the_same_message_twice_runs_a_job_once(bench: Bench) -> None:
    """Brokers deliver again; the claim is what counts."""
    job_id = bench.compress()
    runners = [threading.Thread(target=bench.supervisor("succeed").run, args=[job_id]) for _ in range(4)]

    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 1)


def test_a_job_whose_upload_was_rejected_meanwhile_says_so(bench: Bench) -> None:
    """The reason why the model was refused is the reason why the job cannot run."""
    job_id = bench.compress()
    with bench.database.write() as session:
        model = session.get(lifecycle.Upload, bench.job(job_id).model_id)
        assert model is not None
        model.state = "rejected"
        model.failure = {"code": "model_unreadable", "detail": "It has no config.json.", "suggestions": ["Save again."]}

    bench.supervisor("succeed").run(job_id)

    failure = bench.job(job_id).failure
    assert failure is not None
    assert (failure["code"], failure["suggestions"]) == ("input_rejected", ["Save again."])
    assert "no config.json" in failure["detail"]


@pytest.mark.only("embedded", reason="it moves the store's folder away")
def test_a_store_that_is_away_for_a_while_only_delays_a_job(bench: Bench) -> None:
    """An outage is not the job's fault: it waits, holding its lease."""
    job_id = bench.compress()
    folder = bench.settings.data_dir / "store"
    away = folder.rename(folder.with_name("away"))
    folder.write_text("not a folder")
    thread = threading.Thread(target=bench.supervisor("succeed").run, args=[job_id])
    thread.start()
    assert eventually(lambda: bench.job(job_id).state == "running")
    time.sleep(0.5)

    folder.unlink()
    away.rename(folder)
    thread.join(timeout=20)

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 1)


@contextmanager
def away(bench: Bench, backing: Backing) -> Iterator[None]:
    """A database that answers nobody; a file that is locked, and whose worker is told so at once."""
    if backing.kind == "servers":
        with backing.database_away(bench.settings):
            yield
        return
    event.listen(bench.database.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=20"))
    bench.database.engine.dispose()
    with sqlite3.connect(bench.settings.data_dir / "secateur.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_database_that_is_away_when_a_job_ends_only_delays_it(bench: Bench, backing: Backing) -> None:
    """The result of hours of work must not depend on one bad second."""
    job_id = bench.compress()
    thread = bench.start("succeed_when_told", job_id)

    with away(bench, backing):
        (bench.settings.data_dir / "go").touch()
        time.sleep(1.0)
        assert thread.is_alive()
    thread.join(timeout=20)

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 1)


def test_a_draining_worker_waits_only_so_long_for_the_database(
    bench: Bench, backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must go; the lease will lapse and another worker takes the job."""
    monkeypatch.setattr(supervisor, "FINAL_WRITE_SECONDS", 0.5)
    job_id = bench.compress()
    thread = bench.start("hang", job_id)

    with away(bench, backing):
        bench.draining.set()
        thread.join(timeout=30)

        assert not thread.is_alive()
    assert bench.job(job_id).state == "running"
