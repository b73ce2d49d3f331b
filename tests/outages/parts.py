"""What a service stands on, each of which can go away and come back with all that is in it."""

import logging
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import boto3  # type: ignore[import-untyped]
import psycopg
from moto.server import ThreadedMotoServer

from infra.broker import Publisher, celery_app
from secateur.errors import Unavailable
from stack.broker import broker_command, broker_url
from stack.machine import usable_port
from tests import postgres
from tests.postgres import Server
from tests.valkey import short_folder
from tests.waiting import eventually

BUCKET: Final = "secateur"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@dataclass
class Broker:
    """Valkey, which writes down what it is told."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return broker_url(self.folder / "broker.sock")

    def start(self) -> None:
        command = broker_command(self.folder / "broker.sock", self.folder)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        assert eventually(self._answers, within_seconds=10)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            Publisher(celery_app(self.url)).ping()
        except Unavailable:
            return False
        return True


@dataclass
class ObjectStore:
    """An S3 API. Its objects live in this process, so they outlive the server that gives them out."""

    port: int = field(default_factory=lambda: usable_port("127.0.0.1", 0))
    server: ThreadedMotoServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None


@dataclass(frozen=True)
class Surroundings:
    """All parts, running, and where they are."""

    database: Server
    broker: Broker
    store: ObjectStore

    def environment(self) -> Mapping[str, str]:
        """What a service must be told to use them."""
        return CREDENTIALS | {
            "SECATEUR_DATABASE_URL": self.database.url.format(name="secateur"),
            "SECATEUR_BROKER_URL": self.broker.url,
            "SECATEUR_STORE_URL": f"s3://{BUCKET}/files",
            "AWS_ENDPOINT_URL": self.store.url,
            "AWS_ALLOW_HTTP": "true",
        }


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """PostgreSQL, a broker and an S3 API, empty."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with short_folder() as folder, postgres.server() as database, ExitStack() as opened:
        found = Surroundings(database, Broker(folder), ObjectStore())
        for part in (found.broker, found.store):
            opened.callback(part.stop)
            part.start()
        with psycopg.connect(database.url.format(name="postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE secateur")
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=found.store.url, **keys).create_bucket(Bucket=BUCKET)
        yield found
