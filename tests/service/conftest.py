"""A real gateway for the tests of this folder: real HTTP on loopback, a real database, store and broker."""

import json
import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import func, select

from infra.broker import KEY_PREFIX, connect
from infra.db.tables import Job, Upload
from infra.settings import Settings
from service.__main__ import bind, document
from service.app import create_app
from service.components import Components
from tests import waiting
from tests.backing import Backing, staged, stored
from tests.badfiles import good_arrays, keras_file, layer, npz, sequential


@dataclass(frozen=True)
class Running:
    """A gateway that serves, as its caller and its operator see it."""

    url: str
    http: httpx.Client
    parts: Components
    data_dir: Path
    app: FastAPI

    def stored(self) -> set[str]:
        """Every file that the store holds, half uploads too."""
        return stored(self.parts.settings)

    def staged(self) -> set[str]:
        """Every file of an upload that has not ended."""
        return staged(self.parts.settings)

    def num_rows(self) -> tuple[int, int]:
        """How many uploads and jobs there are."""
        with self.parts.database.read() as session:
            uploads = session.scalar(select(func.count()).select_from(Upload))
            return uploads or 0, session.scalar(select(func.count()).select_from(Job)) or 0

    def traces(self) -> tuple[set[str], tuple[int, int]]:
        """All that an upload could leave behind."""
        return self.stored(), self.num_rows()

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would send."""
        host, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.settimeout(10)
        return connection


Start = Callable[..., AbstractContextManager[Running]]


@cache
def described() -> dict[str, Any]:
    """The OpenAPI document, which is the same whatever the settings are: gateways of tests need not each build it."""
    return cast(dict[str, Any], json.loads(document()))


@contextmanager
def serving(settings: Settings) -> Iterator[Running]:
    """A gateway in a thread of this process, until the block ends."""
    app = create_app(settings)
    app.openapi_schema = described()
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=30) as http:
            yield Running(url, http, app.state.parts, settings.data_dir, app)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def start(tmp_path: Path, backing: Backing, broker_server: str) -> Start:
    """Starts a gateway of the test's own, with settings of its own."""

    def start(*, migrated: bool = True, **changes: Any) -> AbstractContextManager[Running]:
        settings = backing.settings(tmp_path / "var", migrated=migrated, **{"broker_url": broker_server} | changes)
        return serving(settings)

    return start


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, lasting_backing: Backing, broker_server: str) -> Iterator[Running]:
    with serving(lasting_backing.settings(tmp_path_factory.mktemp("var"), broker_url=broker_server)) as running:
        yield running


@pytest.fixture
def gateway(shared: Running, broker: str) -> Running:
    """One gateway for all tests that do not mind what others left in it; its broker is empty."""
    return shared


@pytest.fixture
def fresh(start: Start, broker: str) -> Iterator[Running]:
    """A gateway that nothing was ever sent to."""
    with start() as running:
        yield running


def messages(broker_url: str, queue: str) -> list[Any]:
    """The arguments of the messages that wait in a queue."""
    with connect(broker_url) as client:
        bodies = [json.loads(message) for message in client.lrange(KEY_PREFIX + queue, 0, -1)]
    return [json.loads(b64decode(body["body"]))[0] for body in bodies]


def model_file(name: str) -> bytes:
    """A model that passes the gateway's checks; another name is other content."""
    return keras_file(sequential(layer("Dense", units=3, name=name)))


def dataset_file(seed: int) -> bytes:
    """A data set that passes the gateway's checks; another seed is other content."""
    arrays = good_arrays()
    arrays["x_train"][0, 0, 0, 0] = seed
    return npz(arrays)


eventually = partial(waiting.eventually, within_seconds=30.0)
