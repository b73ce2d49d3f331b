"""Limits of one owner go before the settings, one by one."""

from infra.accounts import owner_limits
from infra.accounts.owner_limits import EffectiveLimits
from infra.db.database import Database
from infra.settings import Settings
from tests.infra.rows import at

SETTINGS = Settings(
    quota_stored_bytes=100,
    quota_queued_jobs=5,
    quota_running_jobs=2,
    quota_queued_checks=3,
    requests_per_minute=60,
    max_upload_bytes=50,
)


def found(database: Database, owner: str) -> EffectiveLimits:
    with database.read() as session:
        return owner_limits.effective(session, owner, settings=SETTINGS)


def test_an_owner_without_a_row_may_use_what_the_settings_say(database: Database) -> None:
    assert found(database, "ann") == EffectiveLimits(100, 5, 2, 3, 60, 50)


def test_what_a_row_says_goes_before_the_settings_also_when_it_is_any_amount(database: Database) -> None:
    with database.write() as session:
        owner_limits.put(session, "ann", {"stored_bytes": 0, "running_jobs": 7, "max_upload_bytes": 2**40}, now=at(0))

    assert found(database, "ann") == EffectiveLimits(0, 5, 7, 3, 60, 2**40)
    assert found(database, "bob") == EffectiveLimits(100, 5, 2, 3, 60, 50)


def test_what_is_not_named_again_is_what_the_settings_say(database: Database) -> None:
    with database.write() as session:
        owner_limits.put(session, "ann", {"queued_jobs": 1, "running_jobs": 7}, now=at(0))
    with database.write() as session:
        owner_limits.put(session, "ann", {"queued_jobs": 2}, now=at(1))

    assert found(database, "ann") == EffectiveLimits(100, 2, 2, 3, 60, 50)


def test_owners_with_limits_are_listed_by_name(database: Database) -> None:
    with database.write() as session:
        for owner in ("cid", "ann", "bob"):
            owner_limits.put(session, owner, {"queued_jobs": 1}, now=at(0))

    with database.read() as session:
        assert [row.owner for row in owner_limits.page(session, limit=2)] == ["ann", "bob"]
        assert [row.owner for row in owner_limits.page(session, limit=2, after="bob")] == ["cid"]
