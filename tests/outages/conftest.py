"""What the services of these tests stand on."""

import os
from collections.abc import Iterator

import pytest

from tests.outages.parts import Surroundings, surroundings
from tests.postgres import NoPostgres


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    try:
        with surroundings() as found:
            yield found
    except NoPostgres as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no PostgreSQL: {reason}")
