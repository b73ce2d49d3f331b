"""What the service keeps on a disk, no other account may read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from infra import private_files
from infra.db.database import Database
from infra.db.tables import Upload
from infra.storage.store import Store

pytestmark = pytest.mark.only("embedded", reason="it is about files on a disk")


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """The umask takes nothing away from the modes that the service asks for."""
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_a_new_database_is_private_with_all_its_files(tmp_path: Path) -> None:
    """It holds the secrets of webhooks, and reports of models that are not public."""
    database = Database(f"sqlite:///{tmp_path}/var/secateur.db")
    database.migrate()
    with database.write() as session:
        session.execute(delete(Upload))
        modes = {path.name: mode(path) for path in (tmp_path / "var").iterdir()}
    database.close()

    assert modes == dict.fromkeys(("secateur.db", "secateur.db-wal", "secateur.db-shm"), "600")
    assert mode(tmp_path / "var") == f"{private_files.data_folder_mode():o}"


def test_a_database_that_a_gateway_opens_before_anybody_has_migrated_is_private(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/secateur.db")
    with database.engine.connect():
        pass
    database.close()

    assert mode(tmp_path / "secateur.db") == "600"


def test_a_new_store_is_private_and_so_is_nothing_that_was_there(tmp_path: Path) -> None:
    """A folder that a person made keeps its mode: others may have a reason to read it."""
    (tmp_path / "made").mkdir(mode=0o755)

    Store.from_url((tmp_path / "var" / "store").as_uri())
    Store.from_url((tmp_path / "made").as_uri())

    assert mode(tmp_path / "var" / "store") == "700"
    assert mode(tmp_path / "made") == "755"


def test_where_jobs_have_accounts_of_their_own_they_pass_through_and_list_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert private_files.data_folder_mode() == 0o711

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert private_files.data_folder_mode() == 0o700


def test_tightening_gives_no_rights(tmp_path: Path) -> None:
    """What a person closed stays closed."""
    closed, open_to_all = tmp_path / "closed", tmp_path / "open"
    for path, bits in ((closed, 0o400), (open_to_all, 0o666)):
        path.touch()
        path.chmod(bits)

    assert private_files.tighten(closed, private_files.FILE)
    assert private_files.tighten(open_to_all, private_files.FILE)
    assert private_files.tighten(tmp_path / "missing", private_files.FILE)

    assert [mode(closed), mode(open_to_all)] == ["400", "600"]
