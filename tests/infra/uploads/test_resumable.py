"""Rows of uploads in pieces, on both databases."""

from infra.accounts import quotas
from infra.db.database import Database
from infra.db.tables import ResumableUpload
from infra.uploads import resumable
from secateur.errors import ArchiveUnreadable
from secateur.specs.reading import Reading
from tests.infra.rows import at


def begun(database: Database, *, num_bytes: int = 100, until: float = 60) -> str:
    with database.write() as session:
        row = resumable.create(
            session,
            "dataset",
            owner="ann",
            name="d.npz",
            reading=Reading(scale="1/255"),
            digest=None,
            num_bytes=num_bytes,
            expires_at=at(until),
            now=at(0),
        )
        return row.id


def read(database: Database, upload_id: str) -> ResumableUpload:
    with database.read() as session:
        return session.get_one(ResumableUpload, upload_id)


def test_an_upload_remembers_how_far_it_is_and_waits_longer(database: Database) -> None:
    upload_id = begun(database)

    with database.write() as session:
        assert resumable.advance(session, upload_id, 40, expires_at=at(120))

    row = read(database, upload_id)
    assert (row.offset, row.expires_at) == (40, at(120))
    assert Reading.model_validate(row.reading) == Reading(scale="1/255")
    assert not resumable.has_ended(row)


def test_what_was_given_up_does_not_advance(database: Database) -> None:
    with database.write() as session:
        assert not resumable.advance(session, "upl_gone", 40, expires_at=at(120))


def test_announced_bytes_count_until_it_is_known_what_became_of_them(database: Database) -> None:
    upload_id = begun(database)
    with database.read() as session:
        assert quotas.usage(session, "ann").stored_bytes == 100

    with database.write() as session:
        resumable.refuse(session, upload_id, ArchiveUnreadable("It is none.").failure())

    assert resumable.has_ended(read(database, upload_id))
    with database.read() as session:
        assert quotas.usage(session, "ann").stored_bytes == 0


def test_those_that_waited_too_long_are_found(database: Database) -> None:
    old, _ = begun(database, until=10), begun(database, until=60)

    with database.read() as session:
        assert [row.id for row in resumable.expired(session, now=at(20))] == [old]
