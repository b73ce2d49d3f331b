"""What the services of these tests stand on."""

import os
from collections.abc import Iterator

import pytest

from tests.outages.disk import Disk, NoDisk, small_disk
from tests.outages.parts import Broker, Surroundings, surroundings
from tests.postgres import NoPostgres
from tests.valkey import short_folder


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    try:
        with surroundings() as found:
            yield found
    except NoPostgres as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[Disk, Disk]]:
    """One for all that the service keeps, one for what its jobs work in."""
    with short_folder() as folder:
        try:
            with small_disk(folder / "d", megabytes=48) as kept, small_disk(folder / "s", megabytes=48) as scratch:
                yield kept, scratch
        except NoDisk as reason:
            if "CI" in os.environ:
                raise
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def on_disks(disks: tuple[Disk, Disk]) -> Iterator[dict[str, str]]:
    """The broker, and where jobs work, as settings."""
    kept, scratch = disks
    broker = Broker(kept.folder)
    try:
        broker.start()
        yield {"SECATEUR_BROKER_URL": broker.url, "SECATEUR_SCRATCH_DIR": str(scratch.folder / "jobs")}
    finally:
        broker.stop()
