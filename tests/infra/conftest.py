"""A database and a store without anything around them."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from infra.db.database import Database
from infra.db.tables import Table
from infra.storage.store import Store
from tests.backing import Backing
from tests.servers import Servers

NUMBERS = count()


@pytest.fixture
def database_url(backing: Backing, tmp_path: Path) -> str:
    """The URL of a fresh database without tables."""
    return backing.settings(tmp_path, migrated=False).database


@pytest.fixture(scope="session")
def lasting_database(lasting_backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with its tables, one for all tests."""
    database = Database(lasting_backing.settings(tmp_path_factory.mktemp("database")).database)
    yield database
    database.close()


@pytest.fixture
def database(lasting_database: Database) -> Database:
    """A database with its tables and no rows."""
    with lasting_database.write() as session:
        for table in reversed(Table.metadata.sorted_tables):
            session.execute(table.delete())
    return lasting_database


@pytest.fixture
def s3_url(real_servers: Servers) -> str:
    """A folder in a fresh bucket."""
    bucket = f"bucket-{next(NUMBERS)}"
    real_servers.create_bucket(bucket)
    return f"s3://{bucket}/secateur"


@pytest.fixture
def store(backing: Backing, tmp_path: Path) -> Store:
    """A fresh, empty store."""
    return Store.from_url(backing.settings(tmp_path / "a store", migrated=False).store)
