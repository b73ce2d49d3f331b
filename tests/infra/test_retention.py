"""Bytes go with the last row that needs them, and never before, whoever does what at the same time."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra import blobs, families, jobs, retention
from infra.collect import collect
from infra.database import Database
from infra.jobs import Outcome, StoredFile
from infra.store import Store
from infra.tables import Artifact, Job, JobLabel, Upload
from jobspec.errors import InUse, Unavailable
from jobspec.states import JobState
from tests.infra.library import Library, digest
from tests.infra.rows import at


@pytest.fixture
def library(database: Database, store: Store) -> Library:
    return Library(database, store)


@pytest.fixture
def local(database: Database, tmp_path: Path) -> Library:
    """With a store in a folder: for what is about the database."""
    return Library(database, Store.from_url((tmp_path / "store").as_uri()))


def test_the_last_upload_of_some_content_takes_its_bytes_along(library: Library) -> None:
    first, second = library.upload("same", "ann"), library.upload("same", "bob")

    library.remove_upload(first)
    assert library.stored() == {digest("same")}
    library.remove_upload(second)

    assert library.stored() == set()


def test_a_job_takes_its_files_along_but_not_what_others_need(library: Library) -> None:
    """An artifact may be equal to an upload, a model that was not changed for example."""
    library.upload("model")
    other = library.leave(library.running(), "shared")
    job_id = library.leave(library.running(), "model", "shared", "own")

    library.remove_job(job_id)

    assert library.stored() == {digest("model"), digest("shared")}
    with library.database.read() as session:
        assert {row.job_id for row in session.query(Artifact)} == {other}


def test_what_an_unfinished_job_needs_or_is_stays(local: Library) -> None:
    model_id = local.upload("model")
    held = local.running(model_id)

    with pytest.raises(InUse, match=held.id):
        local.remove_upload(model_id)
    with pytest.raises(InUse, match="running"):
        local.remove_job(held.id)

    assert local.stored() == {digest("model")}


def test_a_sweep_takes_its_trials_along_and_no_trial_goes_alone(local: Library) -> None:
    """A sweep that is tried again gathers the reports of all of its trials."""
    parent, trial = local.running(), local.running()
    with local.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
    local.leave(trial, "trial")

    local.leave(parent, "table")
    with pytest.raises(InUse, match=parent.id):
        local.remove_job(trial.id)
    local.remove_job(parent.id)

    assert local.stored() == set()
    with local.database.read() as session:
        assert session.query(Job).count() == 0


class Slow(Store):
    """Takes its time to remove something."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._objects)
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def delete(self, digest: str) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        super().delete(digest)


class Down(Store):
    """Removes nothing, because it does not answer."""

    def delete(self, digest: str) -> None:
        raise Unavailable("The artifact store does not answer.")


def break_a_promise(session: Session) -> None:
    """Let the commit of a transaction fail: what it checks in its end is not so."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
    else:
        constraint = "ALTER CONSTRAINT fk_job_labels_job_id DEFERRABLE INITIALLY DEFERRED"
        session.execute(text(f"ALTER TABLE job_labels {constraint}"))
    session.add(JobLabel(job_id="job_of_nobody", key="a", value="b"))
    session.flush()


def test_a_removal_whose_commit_fails_leaves_rows_and_bytes(local: Library) -> None:
    """A row that promises bytes which are gone cannot be mended by anybody."""
    model_id, job_id = local.upload("model"), local.leave(local.running(), "file")

    def remove() -> None:
        with retention.removing(local.database, local.store) as removal:
            break_a_promise(removal.session)
            retention.remove_upload(removal, removal.session.get_one(Upload, model_id))
            retention.remove_job(removal, removal.session.get_one(Job, job_id))

    with pytest.raises(IntegrityError):
        remove()

    assert local.needed() == local.stored() == {digest("model"), digest("file")}


def test_bytes_that_outlive_their_rows_are_found_by_the_collection(local: Library) -> None:
    """The store does not answer, or whoever removed the rows is killed before the bytes."""
    model_id = local.upload("model")

    Library(local.database, Down(local.store._objects)).remove_upload(model_id)
    assert (local.needed(), local.stored()) == (set(), {digest("model")})
    collect(local.database, local.store, grace_seconds=0, now=at(10**9))

    assert local.stored() == set()


def test_who_uploads_content_between_the_end_of_its_rows_and_of_its_bytes_keeps_it(local: Library) -> None:
    first = local.upload("same", "ann")
    with local.database.write() as session:
        removal = retention.Removal(session)
        retention.remove_upload(removal, session.get_one(Upload, first))

    local.upload("same", "bob")
    assert blobs.remove_unneeded(local.database, local.store, removal.freed) == 0

    assert local.stored() == local.needed() == {digest("same")}


def test_who_uploads_content_that_is_being_removed_gets_its_bytes(local: Library) -> None:
    """The one has looked and found that nobody needs the bytes; the other must not find them still there."""
    first, slow = local.upload("same", "ann"), Slow(local.store)

    with ThreadPoolExecutor(2) as pool:
        removal = pool.submit(Library(local.database, slow).remove_upload, first)
        assert slow.has_begun.wait(5)
        upload = pool.submit(local.upload, "same", "bob")
        time.sleep(0.2)
        assert not upload.done(), "it waits for the removal"
        slow.may_go_on.set()
        removal.result(5)
        upload.result(5)

    assert local.stored() == local.needed() == {digest("same")}


def cancelled_sweep(local: Library) -> tuple[Job, Job]:
    """A sweep that was cancelled while a worker has its trial, and the trial, which has not stopped yet."""
    parent, trial = local.running(), local.running()
    with local.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
        session.get_one(Job, parent.id).lease_until = None
    with local.database.write() as session:
        families.cancel(session, parent.id, now=at(1))
        jobs.cancel(session, parent.id, now=at(1))
        families.cancel(session, parent.id, now=at(1))
    return parent, trial


def test_a_sweep_stays_until_its_trials_have_stopped(local: Library) -> None:
    """A worker that is about to store a trial's files must find the trial, or nobody knows of the files."""
    parent, trial = cancelled_sweep(local)

    with pytest.raises(InUse, match="not stopped"):
        local.remove_job(parent.id)

    with local.database.write() as session:
        jobs.finish(session, trial.id, trial.attempt, Outcome(JobState.CANCELLED), steps=[], now=at(2))
    local.remove_job(parent.id)
    with local.database.read() as session:
        assert session.query(Job).count() == 0


def test_a_trial_that_ends_while_its_sweep_is_removed_takes_its_files_along(local: Library) -> None:
    """Its end is written and not yet committed when the removal looks: it must wait, and then see the files."""
    parent, trial = local.running(), local.running()
    with local.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
    local.leave(parent, "table")
    stored = StoredFile("file-0", "x/y", *local.put("trial"))

    with ThreadPoolExecutor(1) as pool:
        with local.database.write() as session:
            done = Outcome(JobState.SUCCEEDED, files=[stored])
            assert jobs.finish(session, trial.id, trial.attempt, done, steps=[], now=at(2))
            removal = pool.submit(local.remove_job, parent.id)
            time.sleep(0.3)
            assert not removal.done(), "it waits for the end of the trial"
        removal.result(10)

    assert local.stored() == local.needed() == set()
    with local.database.read() as session:
        assert session.query(Job).count() == 0


def test_who_removes_content_that_is_being_uploaded_leaves_it(local: Library) -> None:
    """The row of the other is not there yet for anybody else to see."""
    first = local.upload("same", "ann")
    has_begun, may_end = threading.Event(), threading.Event()

    class SlowLibrary(Library):
        def put(self, content: str) -> tuple[str, int]:
            has_begun.set()
            may_end.wait(5)
            return super().put(content)

    with ThreadPoolExecutor(2) as pool:
        upload = pool.submit(SlowLibrary(local.database, local.store).upload, "same", "bob")
        assert has_begun.wait(5)
        removal = pool.submit(local.remove_upload, first)
        time.sleep(0.2)
        may_end.set()
        upload.result(5)
        removal.result(5)

    assert local.stored() == local.needed() == {digest("same")}


def test_files_that_a_worker_has_announced_stay_until_their_rows_are_there(local: Library) -> None:
    """It finds the bytes in the store, and stores nothing; then their last upload is deleted; then it ends its job."""
    model_id, held = local.upload("same"), local.running()
    with local.database.write() as session:
        blobs.announce(session, held.id, [digest("same")], now=at(0))

    local.remove_upload(model_id)
    assert local.stored() == {digest("same")}
    job_id = local.leave(held, "same")

    assert local.stored() == local.needed() == {digest("same")}
    local.remove_job(job_id)
    assert local.stored() == set()


def test_what_was_announced_by_a_worker_that_never_came_back_goes_in_the_end(local: Library) -> None:
    held = local.running()
    with local.database.write() as session:
        blobs.announce(session, held.id, [digest("stray")], now=at(0))
    local.put("stray")

    collect(local.database, local.store, grace_seconds=0, now=at(blobs.HOLD_SECONDS - 1))
    assert local.stored() == {digest("stray")}
    collect(local.database, local.store, grace_seconds=0, now=at(blobs.HOLD_SECONDS + 1))

    assert local.stored() == set()


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_done_side_by_side_no_row_loses_its_bytes(local: Library, seed: int) -> None:
    """Uploads, deletions, jobs and collections of the same three contents by four at once."""
    ids: list[str] = []

    def live(number: int) -> None:
        chance = random.Random(100 * seed + number)
        for _ in range(15):
            content, owner = chance.choice("abc"), chance.choice(["ann", "bob"])
            match chance.randrange(5):
                case 0 | 1:
                    ids.append(local.upload(content, owner))
                case 2:
                    ids.append(local.leave(local.running(), content))
                case 3 if ids:
                    gone = ids.pop(chance.randrange(len(ids))) if ids else ""
                    (local.remove_job if gone.startswith("job_") else local.remove_upload)(gone)
                case _:
                    collect(local.database, local.store, grace_seconds=0, now=at(10**9))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(4)))

    assert local.needed() <= local.stored()
    collect(local.database, local.store, grace_seconds=0, now=at(10**9))
    assert local.needed() == local.stored()


def test_uploading_again_begins_the_time_of_an_upload_anew(local: Library) -> None:
    model_id = local.upload("model", expires_at=at(10))
    assert local.upload("model", expires_at=at(20)) == model_id

    with local.database.read() as session:
        assert session.get_one(Upload, model_id).expires_at == at(20)
        assert retention.expired_uploads(session, now=at(15), limit=9) == []


def test_jobs_come_to_their_end_before_they_expire(local: Library) -> None:
    running, ended = local.running(expires_at=at(10)), local.running(expires_at=at(10))
    local.leave(ended, "file")
    local.leave(local.running(), "kept for ever")

    with local.database.read() as session:
        assert retention.expired_jobs(session, now=at(9), limit=9) == []
        assert retention.expired_jobs(session, now=at(11), limit=9) == [ended.id]
    with local.database.write() as session:
        assert jobs.requeue(session, running.id, running.attempt, why="drained", detail="told to stop")
