"""The small parts of the stack, by themselves."""

import os
import signal
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from infra import private_files
from infra.db.database import Database
from infra.settings import Settings
from stack.broker import fits_url, socket_for
from stack.faults import StackError
from stack.folder import exclusive, make_private
from stack.interrupts import Interrupts
from stack.machine import migrate


def test_the_first_signal_interrupts_and_later_ones_are_counted() -> None:
    """A second Ctrl-C must never cut the stopping in two."""
    interrupts = Interrupts()

    with interrupts.installed():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    assert interrupts.count == 2


def test_a_signal_in_a_held_block_comes_at_its_end() -> None:
    """A process that was started must get into the list of those to stop."""
    interrupts, done = Interrupts(), list[str]()

    def start() -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the rest of the block")

    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        start()

    assert done == ["the rest of the block"]


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        pytest.param("/srv/secateur/broker.sock", True, id="plain"),
        pytest.param("/my files/broker.sock", False, id="a space would have to be quoted in the URL"),
        pytest.param("/" + 106 * "a", True, id="107 bytes"),
        pytest.param("/" + 107 * "a", False, id="108 bytes"),
    ],
)
def test_only_some_paths_can_be_a_socket_in_a_url(path: str, fits: bool) -> None:
    """Linux allows 107 bytes, and Celery reads the URL as it is."""
    assert fits_url(Path(path)) is fits


def test_the_socket_moves_to_a_short_private_folder_when_its_own_will_not_do(tmp_path: Path) -> None:
    """Deep checkouts are common; private, because whoever reaches the socket can queue work."""
    deep = tmp_path / ("deep" * 30)

    with socket_for(deep) as elsewhere:
        assert fits_url(elsewhere)
        assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700
    with socket_for(tmp_path / "broker") as here:
        assert here == tmp_path / "broker" / "broker.sock"
        assert stat.S_IMODE(here.parent.stat().st_mode) == 0o700

    assert not elsewhere.parent.exists()


def test_a_data_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    """Two brokers on one append-only file would destroy it."""
    with exclusive(tmp_path), pytest.raises(StackError, match="Another service"), exclusive(tmp_path):
        pass

    with exclusive(tmp_path):
        pass


def test_a_data_folder_that_a_newer_version_wrote_is_refused_with_what_helps(tmp_path: Path) -> None:
    """Not with an error of the library that migrates."""
    settings = Settings(data_dir=tmp_path)
    database = Database(settings.database)
    database.migrate()
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    with pytest.raises(StackError, match="A newer version of this program wrote the database") as raised:
        migrate(settings)

    assert "Run the newer version" in raised.value.fix


def test_a_data_folder_of_an_earlier_version_becomes_private(tmp_path: Path) -> None:
    """Until then it had the mode of the umask: everybody could read uploads and the secrets of webhooks."""
    folder, names = tmp_path / "var", ("store", "uploads", "logs", "broker")
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o755)
    files = [folder / f"secateur.db{suffix}" for suffix in ("", "-wal", "-shm")]
    for path in files:
        path.touch()
        path.chmod(0o644)

    with exclusive(folder):
        make_private(folder)

    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in names} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == private_files.data_folder_mode()


def test_a_folder_with_other_files_keeps_its_mode(tmp_path: Path) -> None:
    """``--data-dir /tmp`` must not close ``/tmp`` for everybody else."""
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").touch()
    (tmp_path / "store").mkdir(mode=0o755)

    with exclusive(tmp_path):
        make_private(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
