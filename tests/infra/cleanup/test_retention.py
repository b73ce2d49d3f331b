"""Bytes go with the last row that needs them, and never before, whoever does what at the same time."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra.cleanup import retention
from infra.cleanup.garbage_collection import collect
from infra.db.database import Database
from infra.db.tables import Artifact, Job, JobLabel, Upload
from infra.jobs import lifecycle, trials
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.storage import blobs
from infra.storage.store import Store
from secateur.errors import InUse, Unavailable
from secateur.protocol.states import JobState
from tests.infra.library import Library, digest
from tests.infra.rows import at


@pytest.fixture
def library(database: Database, store: Store) -> Library:
    return Library(database, store)


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


def test_what_an_unfinished_job_needs_or_is_stays(library: Library) -> None:
    model_id = library.upload("model")
    held = library.running(model_id)

    with pytest.raises(InUse, match=held.id):
        library.remove_upload(model_id)
    with pytest.raises(InUse, match="running"):
        library.remove_job(held.id)

    assert library.stored() == {digest("model")}


def test_a_sweep_takes_its_trials_along_and_no_trial_goes_alone(library: Library) -> None:
    """A sweep that is tried again gathers the reports of all of its trials."""
    parent, trial = library.running(), library.running()
    with library.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
    library.leave(trial, "trial")

    library.leave(parent, "table")
    with pytest.raises(InUse, match=parent.id):
        library.remove_job(trial.id)
    library.remove_job(parent.id)

    assert library.stored() == set()
    with library.database.read() as session:
        assert session.query(Job).count() == 0


class Slow(Store):
    """Takes its time to remove something."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.objects)
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


def test_a_removal_whose_commit_fails_leaves_rows_and_bytes(library: Library) -> None:
    """A row that promises bytes which are gone cannot be mended by anybody."""
    model_id, job_id = library.upload("model"), library.leave(library.running(), "file")

    def remove() -> None:
        with retention.removing(library.database, library.store) as removal:
            break_a_promise(removal.session)
            retention.remove_upload(removal, removal.session.get_one(Upload, model_id))
            retention.remove_job(removal, removal.session.get_one(Job, job_id))

    with pytest.raises(IntegrityError):
        remove()

    assert library.needed() == library.stored() == {digest("model"), digest("file")}


def test_bytes_that_outlive_their_rows_are_found_by_the_collection(library: Library) -> None:
    """The store does not answer, or whoever removed the rows is killed before the bytes."""
    model_id = library.upload("model")

    Library(library.database, Down(library.store.objects)).remove_upload(model_id)
    assert (library.needed(), library.stored()) == (set(), {digest("model")})
    collect(library.database, library.store, grace_seconds=0, now=at(10**9))

    assert library.stored() == set()


def test_who_uploads_content_between_the_end_of_its_rows_and_of_its_bytes_keeps_it(library: Library) -> None:
    first = library.upload("same", "ann")
    with library.database.write() as session:
        removal = retention.Removal(session)
        retention.remove_upload(removal, session.get_one(Upload, first))

    library.upload("same", "bob")
    assert blobs.remove_unneeded(library.database, library.store, removal.freed) == 0

    assert library.stored() == library.needed() == {digest("same")}


def test_who_uploads_content_that_is_being_removed_gets_its_bytes(library: Library) -> None:
    """The one has looked and found that nobody needs the bytes; the other must not find them still there."""
    first, slow = library.upload("same", "ann"), Slow(library.store)

    with ThreadPoolExecutor(2) as pool:
        removal = pool.submit(Library(library.database, slow).remove_upload, first)
        assert slow.has_begun.wait(20)
        upload = pool.submit(library.upload, "same", "bob")
        time.sleep(0.2)
        assert not upload.done(), "it waits for the removal"
        slow.may_go_on.set()
        removal.result(20)
        upload.result(20)

    assert library.stored() == library.needed() == {digest("same")}


def cancelled_sweep(library: Library) -> tuple[Job, Job]:
    """A sweep that was cancelled while a worker has its trial, and the trial, which has not stopped yet."""
    parent, trial = library.running(), library.running()
    with library.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
        session.get_one(Job, parent.id).lease_until = None
    with library.database.write() as session:
        trials.cancel(session, parent.id, now=at(1))
        lifecycle.cancel(session, parent.id, now=at(1))
        trials.cancel(session, parent.id, now=at(1))
    return parent, trial


def test_a_sweep_stays_until_its_trials_have_stopped(library: Library) -> None:
    """A worker that is about to store a trial's files must find the trial, or nobody knows of the files."""
    parent, trial = cancelled_sweep(library)

    with pytest.raises(InUse, match="not stopped"):
        library.remove_job(parent.id)

    with library.database.write() as session:
        lifecycle.finish(session, trial.id, trial.attempt, Outcome(JobState.CANCELLED), steps=[], now=at(2))
    library.remove_job(parent.id)
    with library.database.read() as session:
        assert session.query(Job).count() == 0


def test_a_trial_that_ends_while_its_sweep_is_removed_takes_its_files_along(library: Library) -> None:
    """Its end is written and not yet committed when the removal looks: it must wait, and then see the files."""
    parent, trial = library.running(), library.running()
    with library.database.write() as session:
        session.get_one(Job, trial.id).parent_id = parent.id
    library.leave(parent, "table")
    stored = StoredFile("file-0", "x/y", *library.put("trial"))

    with ThreadPoolExecutor(1) as pool:
        with library.database.write() as session:
            done = Outcome(JobState.SUCCEEDED, files=[stored])
            assert lifecycle.finish(session, trial.id, trial.attempt, done, steps=[], now=at(2))
            removal = pool.submit(library.remove_job, parent.id)
            time.sleep(0.3)
            assert not removal.done(), "it waits for the end of the trial"
        removal.result(20)

    assert library.stored() == library.needed() == set()
    with library.database.read() as session:
        assert session.query(Job).count() == 0


def test_who_removes_content_that_is_being_uploaded_leaves_it(library: Library) -> None:
    """The row of the other is not there yet for anybody else to see."""
    first = library.upload("same", "ann")
    has_begun, may_end = threading.Event(), threading.Event()

    class SlowLibrary(Library):
        def put(self, content: str) -> tuple[str, int]:
            has_begun.set()
            may_end.wait(20)
            return super().put(content)

    with ThreadPoolExecutor(2) as pool:
        upload = pool.submit(SlowLibrary(library.database, library.store).upload, "same", "bob")
        assert has_begun.wait(20)
        removal = pool.submit(library.remove_upload, first)
        time.sleep(0.2)
        may_end.set()
        upload.result(20)
        removal.result(20)

    assert library.stored() == library.needed() == {digest("same")}


def test_files_that_a_worker_has_announced_stay_until_their_rows_are_there(library: Library) -> None:
    """It finds the bytes in the store, and stores nothing; then their last upload is deleted; then it ends its job."""
    model_id, held = library.upload("same"), library.running()
    with library.database.write() as session:
        blobs.hold(session, held.id, [digest("same")], now=at(0))

    library.remove_upload(model_id)
    assert library.stored() == {digest("same")}
    job_id = library.leave(held, "same")

    assert library.stored() == library.needed() == {digest("same")}
    library.remove_job(job_id)
    assert library.stored() == set()


def test_what_was_announced_by_a_worker_that_never_came_back_goes_in_the_end(library: Library) -> None:
    held = library.running()
    with library.database.write() as session:
        blobs.hold(session, held.id, [digest("stray")], now=at(0))
    library.put("stray")

    collect(library.database, library.store, grace_seconds=0, now=at(blobs.HOLD_SECONDS - 1))
    assert library.stored() == {digest("stray")}
    collect(library.database, library.store, grace_seconds=0, now=at(blobs.HOLD_SECONDS + 1))

    assert library.stored() == set()


def test_an_attempt_that_is_given_back_needs_nothing_any_more(library: Library) -> None:
    held = library.running()
    with library.database.write() as session:
        blobs.hold(session, held.id, [digest("half")], now=at(0))
    library.put("half")

    with library.database.write() as session:
        assert lifecycle.requeue(session, held.id, held.attempt, why="worker_lost", now=at(1))
    collect(library.database, library.store, grace_seconds=0, now=at(2))

    assert library.stored() == set()


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_done_side_by_side_no_row_loses_its_bytes(library: Library, seed: int) -> None:
    """Uploads, deletions, jobs and collections of the same three contents by four at once."""
    ids: list[str] = []

    def live(number: int) -> None:
        chance = random.Random(100 * seed + number)
        for _ in range(15):
            content, owner = chance.choice("abc"), chance.choice(["ann", "bob"])
            match chance.randrange(5):
                case 0 | 1:
                    ids.append(library.upload(content, owner))
                case 2:
                    ids.append(library.leave(library.running(), content))
                case 3 if ids:
                    gone = ids.pop(chance.randrange(len(ids))) if ids else ""
                    (library.remove_job if gone.startswith("job_") else library.remove_upload)(gone)
                case _:
                    collect(library.database, library.store, grace_seconds=0, now=at(10**9))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(4)))

    assert library.needed() <= library.stored()
    collect(library.database, library.store, grace_seconds=0, now=at(10**9))
    assert library.needed() == library.stored()


def test_uploading_again_begins_the_time_of_an_upload_anew(library: Library) -> None:
    model_id = library.upload("model", expires_at=at(10))
    assert library.upload("model", expires_at=at(20)) == model_id

    with library.database.read() as session:
        assert session.get_one(Upload, model_id).expires_at == at(20)
        assert retention.expired_uploads(session, now=at(15), limit=9) == []


def test_jobs_come_to_their_end_before_they_expire(library: Library) -> None:
    running, ended = library.running(expires_at=at(10)), library.running(expires_at=at(10))
    library.leave(ended, "file")
    library.leave(library.running(), "kept for ever")

    with library.database.read() as session:
        assert retention.expired_jobs(session, now=at(9), limit=9) == []
        assert retention.expired_jobs(session, now=at(11), limit=9) == [ended.id]
    with library.database.write() as session:
        assert lifecycle.requeue(session, running.id, running.attempt, why="drained", detail="told to stop")
