"""One gateway for the tests of a run, emptied before each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.database import Database
from infra.settings import Settings
from tests.service.gateway import World, listening

MAX_UPLOAD_BYTES = 2 << 20


@pytest.fixture(scope="session")
def gateway(broker_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway on SQLite, a folder and a real broker."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = Settings(data_dir=folder, broker_url=broker_server, max_upload_bytes=MAX_UPLOAD_BYTES)
    migrate(settings)
    with listening(settings) as world:
        yield world


def migrate(settings: Settings) -> None:
    """Make the tables."""
    database = Database(settings.database)
    database.migrate()
    database.close()


@pytest.fixture
def world(gateway: World, broker: str) -> World:
    """The gateway, with nothing in its database, its store and its broker."""
    gateway.clear()
    return gateway


@pytest.fixture
def large_world(broker: str, tmp_path: Path) -> Iterator[World]:
    """A gateway of its own that takes large uploads."""
    settings = Settings(data_dir=tmp_path, broker_url=broker)
    migrate(settings)
    with listening(settings) as world:
        yield world
