"""API keys: only a digest is kept, and what was replaced, revoked or has expired opens nothing."""

import pytest
from sqlalchemy import select

from infra.accounts import api_keys, key_text
from infra.db.database import Database
from infra.db.tables import ApiKey
from tests.infra.rows import at


def made(database: Database, *, seconds_valid: float | None = None) -> tuple[str, str]:
    """A key of the time 0. Returns its id and its text."""
    expires_at = None if seconds_valid is None else at(seconds_valid)
    with database.write() as session:
        key, text = api_keys.create(
            session, name="a key", owner="team-a", scopes=["write", "read"], expires_at=expires_at, now=at(0)
        )
        return key.id, text


def opens(database: Database, text: str, *, seconds: float = 1) -> bool:
    with database.read() as session:
        return api_keys.identify(session, text, now=at(seconds)) is not None


def test_a_key_opens_and_its_text_is_nowhere_in_its_row(database: Database) -> None:
    _, text = made(database)

    assert opens(database, text)
    with database.read() as session:
        row = session.scalars(select(ApiKey)).one()
    kept = [str(value) for value in vars(row).values()]
    secret = text.rpartition("_")[2]
    assert not any(secret in value or text in value for value in kept)
    assert text.startswith(f"sk_{row.prefix}_")
    assert (row.owner, row.scopes) == ("team-a", "read,write")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), id="a wrong checksum"),
        pytest.param(lambda text: text[:-9], id="cut"),
        pytest.param(lambda text: key_text.mint(text.split("_")[1]), id="another secret of the same prefix"),
        pytest.param(lambda text: key_text.mint("0" * 12), id="an unknown prefix"),
        pytest.param(lambda text: "", id="nothing"),
        pytest.param(lambda text: text.upper(), id="capitals"),
        pytest.param(lambda text: key_text.digest_of(text), id="what the database holds"),
    ],
)
def test_what_is_not_exactly_the_key_opens_nothing(database: Database, spoil: object) -> None:
    _, text = made(database)
    assert callable(spoil)

    assert not opens(database, spoil(text))


def test_a_key_is_valid_until_it_expires(database: Database) -> None:
    _, text = made(database, seconds_valid=100)

    assert opens(database, text, seconds=99)
    assert not opens(database, text, seconds=100)


def test_after_a_rotation_both_secrets_open_until_the_grace_is_over(database: Database) -> None:
    """So that whoever uses a key can be given the new text without an outage."""
    key_id, former = made(database)

    with database.write() as session:
        text = api_keys.rotate(session, session.get_one(ApiKey, key_id), grace_seconds=60, now=at(0))

    assert opens(database, text, seconds=1)
    assert opens(database, former, seconds=59)
    assert not opens(database, former, seconds=60)
    assert opens(database, text, seconds=60)


def test_a_second_rotation_ends_the_grace_of_the_first_secret(database: Database) -> None:
    key_id, first = made(database)
    for _ in range(2):
        with database.write() as session:
            api_keys.rotate(session, session.get_one(ApiKey, key_id), grace_seconds=60, now=at(0))

    assert not opens(database, first)


def test_a_revoked_key_opens_nothing_and_the_service_still_asks_for_one(database: Database) -> None:
    """Otherwise whoever revokes the last key would open the service to everybody."""
    key_id, text = made(database)
    with database.write() as session:
        api_keys.rotate(session, session.get_one(ApiKey, key_id), grace_seconds=60, now=at(0))
        api_keys.revoke(session.get_one(ApiKey, key_id), now=at(0))

    assert not opens(database, text)
    with database.read() as session:
        assert api_keys.exist(session)


def test_when_a_key_was_used_is_known_to_the_minute(database: Database) -> None:
    key_id, _ = made(database)

    stale = []
    for seconds in (0, 30, 61):
        with database.write() as session:
            key = session.get_one(ApiKey, key_id)
            if api_keys.is_stale(key, now=at(seconds)):
                stale.append(seconds)
                api_keys.touch(session, key_id, now=at(seconds))

    assert stale == [0, 61]
