"""Rows of uploads: one for each content, and bytes that live as long as somebody needs them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from infra.cleanup import retention
from infra.db.database import Database
from infra.db.tables import Job, Upload
from infra.jobs import creation, lifecycle, queries
from infra.jobs.lifecycle import Outcome
from infra.storage import blobs
from infra.storage.store import Store
from infra.uploads import uploads
from secateur.errors import ModelUnreadable
from secateur.protocol.states import JobState, UploadState
from tests.infra.rows import LEASE, at, job, register, spec, upload, uploaded


def settle(database: Database, check_id: str, outcome: Outcome) -> None:
    """Run the check of an upload to this end."""
    with database.write() as session:
        claim = lifecycle.claim(session, check_id, lease_seconds=LEASE, now=at(1))
        assert claim is not None
        assert lifecycle.finish(session, check_id, claim.attempt, outcome, steps=[], now=at(2))


def counted(database: Database, table: type[Upload] | type[Job]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


REJECTED = Outcome(JobState.FAILED, ModelUnreadable("Its weights are cut.").failure("check"))
READY = Outcome(JobState.SUCCEEDED, summary={})


def test_new_content_gets_a_row_and_a_check(database: Database) -> None:
    row, check = register(database)

    assert row.state == UploadState.CHECKING
    assert check is not None
    stored = job(database, check.id)
    assert (stored.kind, stored.state, stored.upload_id) == ("check_model", JobState.QUEUED, row.id)


@pytest.mark.parametrize("is_checked", [pytest.param(False, id="checking"), pytest.param(True, id="ready")])
def test_known_content_keeps_its_row_and_needs_no_other_check(database: Database, is_checked: bool) -> None:
    first, check = register(database)
    if is_checked and check is not None:
        settle(database, check.id, READY)

    second, again = register(database, seconds=60)

    assert (second.id, again) == (first.id, None)


def test_content_that_was_rejected_is_checked_again_under_the_same_id(database: Database) -> None:
    """The fault may have been ours and gone by now; links to the upload stay right."""
    first, check = register(database)
    assert check is not None
    settle(database, check.id, REJECTED)

    second, again = register(database, seconds=60)

    assert second.id == first.id
    assert again is not None
    assert again.id != check.id
    stored = upload(database, "model", first.id)
    assert (stored.state, stored.failure) == (UploadState.CHECKING, None)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"kind": "dataset"}, id="as another kind"),
        pytest.param({"content": "b"}, id="other content"),
        pytest.param({"scale": "1/255"}, id="to be scaled otherwise"),
    ],
)
def test_what_differs_gets_a_row_of_its_own(database: Database, other: dict[str, str]) -> None:
    first, _ = register(database)

    second, check = register(database, **other)  # type: ignore[arg-type]

    assert second.id != first.id
    assert check is not None


def test_of_many_who_register_the_same_content_at_once_one_makes_the_row(database: Database) -> None:
    """The others find it, or meet a conflict and find it when they ask again."""
    barrier = threading.Barrier(8)

    def rush(_: int) -> tuple[Upload, Job | None]:
        barrier.wait()
        try:
            return register(database)
        except IntegrityError:
            return register(database)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(rush, range(8)))

    assert len({row.id for row, _ in answers}) == 1
    assert sum(check is not None for _, check in answers) == 1
    assert (counted(database, Upload), counted(database, Job)) == (1, 1)


def test_an_id_finds_only_its_own_kind(database: Database) -> None:
    row = uploaded(database)

    with database.read() as session:
        assert uploads.get(session, "model", row.id) is not None
        assert uploads.get(session, "dataset", row.id) is None


def test_a_page_is_newest_first_and_goes_on_where_the_last_one_ended(database: Database) -> None:
    """Two rows of the same instant must not be lost between two pages."""
    moments = {"a": 1, "b": 2, "c": 2, "d": 2, "e": 3}
    ids = {uploaded(database, content, seconds=seconds).id for content, seconds in moments.items()}

    seen: list[Upload] = []
    with database.read() as session:
        while page := uploads.page(
            session, "model", limit=2, after=(seen[-1].created_at, seen[-1].id) if seen else None
        ):
            seen += page

    assert {row.id for row in seen} == ids
    assert len(seen) == 5
    assert [row.created_at for row in seen] == [at(3), at(2), at(2), at(2), at(1)]


def referenced(database: Database, digest: str) -> bool:
    with database.read() as session:
        return blobs.is_referenced(session, digest)


def test_bytes_are_needed_as_long_as_an_upload_has_them(database: Database) -> None:
    row, check = register(database)

    assert referenced(database, row.digest)
    assert not referenced(database, "sha256:other")
    assert check is not None
    settle(database, check.id, REJECTED)
    assert not referenced(database, row.digest)


def test_an_upload_takes_its_check_along(database: Database, store: Store) -> None:
    """Whether the check waits or runs: its worker finds out at its next heartbeat and writes nothing."""
    row, check = register(database)
    assert check is not None
    with database.write() as session:
        lifecycle.claim(session, check.id, lease_seconds=LEASE, now=at(1))

    with retention.removing(database, store) as removal:
        retention.remove_upload(removal, removal.session.get_one(Upload, row.id))

    assert counted(database, Job) == 0
    with database.write() as session:
        assert lifecycle.renew(session, check.id, 1, steps=[], lease_seconds=LEASE, now=at(2)) is None
        assert not lifecycle.finish(session, check.id, 1, READY, steps=[], now=at(2))


def test_who_deletes_an_upload_waits_for_the_job_that_is_being_made_for_it(database: Database) -> None:
    """Otherwise a job could be accepted whose model is gone."""
    row = uploaded(database)
    has_begun = threading.Event()

    def accept() -> None:
        with database.write() as session:
            assert uploads.get(session, "model", row.id, hold=True) is not None
            has_begun.set()
            time.sleep(0.2)
            creation.create_job(session, spec(model_id=row.id), now=at(1))

    thread = threading.Thread(target=accept)
    thread.start()
    has_begun.wait()
    with database.write() as session:
        uploads.get(session, "model", row.id, hold=True)
        users = queries.unfinished_using(session, row.id)
    thread.join()

    assert len(users) == 1
