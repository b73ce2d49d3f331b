"""What tests of several packages stand on: a real broker, and a database and a store of the kind that was asked for."""

import logging
import os
from collections.abc import Iterator

import pytest

from infra.broker import connect
from tests import postgres, servers, valkey
from tests.backing import BUCKET, Backing, Template
from tests.servers import Servers

DIFFERENCE = frozenset({"backing", "lasting_backing", "real_servers"})
"""Fixtures that are another thing with ``--backing servers``; tests without them run once."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backing",
        choices=["embedded", "servers"],
        default="embedded",
        help="SQLite and a folder (default), or PostgreSQL and an S3 API",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only(backing, reason): what it is about is there with that backing alone")
    config.addinivalue_line("markers", "slow: runs in make test-all only")
    config.addinivalue_line("markers", "alone: it kills whole services or looks at a clock, and shares the cores badly")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the other backing what runs there, or has run there."""
    kept, left = [], []
    for item in items:
        (kept if _belongs(item, config.getoption("backing")) else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


def _belongs(item: pytest.Item, backing: str) -> bool:
    if marker := item.get_closest_marker("only"):
        return bool(marker.args[0] == backing)
    return backing == "embedded" or not DIFFERENCE.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A test that runs a command within this process sets up logs for it: to a stream that is closed with the test."""
    root = logging.getLogger()
    before, level = set(root.handlers), root.level
    yield
    for handler in set(root.handlers) - before:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def real_servers() -> Iterator[Servers]:
    """PostgreSQL and S3 of this test run, which the environment leads to."""
    try:
        with servers.running() as found, pytest.MonkeyPatch.context() as patch:
            for name, value in found.environment().items():
                patch.setenv(name, value)
            found.create_bucket(BUCKET)
            yield found
    except postgres.NoPostgres as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="session")
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """What fresh databases are copies of."""
    is_real = request.config.getoption("backing") == "servers"
    return Template(tmp_path_factory.mktemp("template"), request.getfixturevalue("real_servers") if is_real else None)


@pytest.fixture
def backing(template: Template) -> Iterator[Backing]:
    """Databases and stores for one test."""
    made = Backing(template)
    yield made
    made.close()


@pytest.fixture(scope="session")
def lasting_backing(template: Template) -> Iterator[Backing]:
    """Databases and stores for what many tests share."""
    made = Backing(template)
    yield made
    made.close()


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
