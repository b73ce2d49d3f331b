"""What tests of several packages stand on: a real broker, and a database and a store of the kind that was asked for."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import connect
from tests import budgets, postgres, servers, valkey
from tests.backing import BUCKET, Backing, Template
from tests.passes import Chosen, longest_first, runs_on, write_lists
from tests.servers import Servers

CHOSEN: pytest.StashKey[Chosen] = pytest.StashKey()
"""The tests that another pass has left to this one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backing",
        choices=["embedded", "servers"],
        default="embedded",
        help="SQLite and a folder (default), or PostgreSQL and an S3 API",
    )
    parser.addoption("--write-lists", metavar="FOLDER", type=Path, help="write down the tests of the later passes")
    parser.addoption("--read-list", metavar="FILE", type=Path, help="collect only the tests that are written there")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in a job's process; before TensorFlow is imported
    config.addinivalue_line("markers", "only(backing, reason): what it is about is there with that backing alone")
    config.addinivalue_line("markers", "slow: runs in make test-all only")
    config.addinivalue_line("markers", "alone: it kills whole services or looks at a clock, and shares the cores badly")
    config.addinivalue_line("markers", "slow: it takes long and rarely finds what no other test finds: make test-all")
    if file := config.getoption("read_list"):
        config.stash[CHOSEN] = Chosen.read(file, config.rootpath)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import only the files of the tests that another pass has left to this one."""
    chosen = config.stash.get(CHOSEN, None)
    return True if chosen is not None and chosen.leaves_out(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leave to the other backing what runs there, or has run there; let long files start first."""
    chosen = config.stash.get(CHOSEN, None)
    if chosen is not None and (missing := chosen.missing(items)):
        raise pytest.UsageError(f"the first pass found tests that this one does not find: {', '.join(missing)}")
    if folder := config.getoption("write_lists"):
        write_lists(items, folder)
    kept, left = [], []
    for item in items:
        (kept if runs_on(item, config.getoption("backing")) else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)
    yield
    if hasattr(config, "workerinput"):
        longest_first(items, budgets.read("test-all"))


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
