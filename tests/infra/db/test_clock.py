"""The time that leases go by is the database's own, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from infra.db import clock
from infra.db.database import Database
from infra.jobs import lifecycle, recovery
from tests.infra.rows import at, job, queued


def test_the_clock_is_the_database_s_and_can_be_reckoned_with(database: Database) -> None:
    with database.read() as session:
        first = clock.read(session)
        in_a_minute = session.execute(select(clock.later(None, 60.0))).scalar_one()
        a_minute_ago = session.execute(select(clock.later(None, -60.0))).scalar_one()

    assert first.tzinfo is not None
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)  # here both run on one machine
    assert timedelta(seconds=59) < in_a_minute - first < timedelta(seconds=90)
    assert timedelta(seconds=30) < first - a_minute_ago < timedelta(seconds=61)


def test_a_time_that_is_given_is_taken(database: Database) -> None:
    with database.read() as session:
        assert clock.read(session, at(3)) == at(3)
        assert session.execute(select(clock.later(at(3), 2.0))).scalar_one() == at(5)


def test_a_lease_is_written_and_judged_by_the_database_s_clock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of one host jumps by a year; every lease of the others still holds, and lapses when it is due."""
    job_id = queued(database)
    with database.write() as session:
        assert lifecycle.claim(session, job_id, lease_seconds=60) is not None

    with monkeypatch.context() as patch:
        patch.setattr("infra.db.database.datetime", _InAYear)
        with database.write() as session:
            recovery.recover(session, max_attempts=3, resend_seconds=15)
    assert job(database, job_id).state == "running"

    with database.write() as session:
        assert lifecycle.renew(session, job_id, 1, steps=[], lease_seconds=-1) == "running"
    with database.write() as session:
        recovery.recover(session, max_attempts=3, resend_seconds=15)
    assert job(database, job_id).state == "queued"


class _InAYear(datetime):
    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def, override]
        return datetime.now(tz) + timedelta(days=365)
