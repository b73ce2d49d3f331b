"""Collection: what expired and what crashes left goes; what anything needs stays."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest

from infra.__main__ import main
from infra.cleanup.garbage_collection import STAGED_SECONDS, Collected, collect
from infra.db.database import Database
from infra.db.tables import Job, Upload
from infra.storage.store import Store
from tests.backing import Backing
from tests.infra.library import Library, digest
from tests.infra.rows import at

NOTHING = Collected(jobs=0, uploads=0, blobs=0, staged=0)


@pytest.fixture
def library(database: Database, store: Store) -> Library:
    return Library(database, store)


def after(seconds: float) -> datetime:
    """A moment, in seconds from now: stores tell the time by their own clocks."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_what_has_expired_goes_with_its_bytes_and_the_rest_stays(library: Library) -> None:
    past, future = after(-10), after(1000)
    library.upload("old", expires_at=past)
    library.upload("young", expires_at=future)
    library.upload("for ever")
    library.leave(library.running(expires_at=past), "old file")
    library.leave(library.running(expires_at=future), "young file")

    found = collect(library.database, library.store, grace_seconds=3600, now=after(0))

    assert found == Collected(jobs=1, uploads=1, blobs=0, staged=0)
    assert library.stored() == library.needed()
    assert library.stored() == {digest(content) for content in ("young", "for ever", "young file")}
    assert collect(library.database, library.store, grace_seconds=3600, now=after(0)) == NOTHING


def test_an_expired_upload_waits_for_the_job_that_needs_it(library: Library) -> None:
    model_id = library.upload("model", expires_at=after(-10))
    held = library.running(model_id)

    assert collect(library.database, library.store, grace_seconds=0, now=after(0)) == NOTHING
    library.leave(held)
    assert collect(library.database, library.store, grace_seconds=0, now=after(0)).uploads == 1

    with library.database.read() as session:
        assert session.get(Upload, model_id) is None
        assert session.get(Job, held.id) is not None


def test_bytes_without_a_row_go_when_they_are_older_than_the_grace(library: Library) -> None:
    """A gateway that is killed between the bytes and their row leaves such."""
    library.upload("needed")
    library.put("stray")

    assert collect(library.database, library.store, grace_seconds=3600, now=after(0)).blobs == 0
    assert collect(library.database, library.store, grace_seconds=3600, now=after(3700)).blobs == 1

    assert library.stored() == {digest("needed")}


def test_uploads_that_stopped_a_day_ago_go_and_those_under_way_stay(library: Library) -> None:
    obstore.put(library.store._objects, "staging/half", b"half an upload")

    assert collect(library.database, library.store, grace_seconds=0, now=after(STAGED_SECONDS - 60)).staged == 0
    assert collect(library.database, library.store, grace_seconds=0, now=after(STAGED_SECONDS + 60)).staged == 1
    assert collect(library.database, library.store, grace_seconds=0, now=after(STAGED_SECONDS + 60)) == NOTHING


def test_what_a_killed_gateway_was_writing_to_a_local_folder_goes_too(database: Database, tmp_path: Path) -> None:
    """The store does not list a file that it is still writing."""
    store = Store.from_url(tmp_path.as_uri())
    (tmp_path / "staging").mkdir()
    old, young = tmp_path / "staging" / "aa#1", tmp_path / "staging" / "bb#1"
    for path in (old, young):
        path.write_bytes(b"half")
    long_ago = time.time() - STAGED_SECONDS - 60
    os.utime(old, (long_ago, long_ago))

    assert collect(database, store, grace_seconds=0, now=after(0)).staged == 1

    assert (old.exists(), young.exists()) == (False, True)


def test_the_command_tells_what_went(
    backing: Backing,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = backing.settings(tmp_path, migrated=False, database_url=database.url)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    Library(database, Store.from_url(settings.store)).upload("old", expires_at=at(-(10**9)))

    main(["collect"])

    assert capsys.readouterr().out == "jobs 0, uploads 1, blobs 0, staged 0\n"
