"""What tests of several packages stand on: a real broker."""

from collections.abc import Iterator

import pytest

from infra.broker import connect
from tests import valkey


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    """The URL of a broker of this test run."""
    with valkey.short_folder() as folder, valkey.running(folder) as url:
        yield url


@pytest.fixture
def broker(broker_server: str) -> str:
    """The URL of an empty broker."""
    with connect(broker_server) as client:
        client.flushall()
    return broker_server
