"""Real servers of one test run: PostgreSQL, and what speaks S3."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3  # type: ignore[import-untyped]
import psycopg
from moto.server import ThreadedMotoServer

from tests import postgres

REGION = "us-east-1"


@dataclass(frozen=True)
class Servers:
    """Where they are."""

    postgres: str
    """A URL with a gap for the name of a database."""
    s3: str

    def execute(self, statement: str) -> None:
        """Change databases as such."""
        with psycopg.connect(self.postgres.format(name="postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_bucket(self, name: str) -> None:
        boto3.client("s3", endpoint_url=self.s3, region_name=REGION).create_bucket(Bucket=name)

    def environment(self) -> dict[str, str]:
        """How an operator says where S3 is, and who asks."""
        return {
            "AWS_ENDPOINT_URL": self.s3,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        }


@contextmanager
def running() -> Iterator[Servers]:
    """Both, with nothing in them.

    Raises:
        NoPostgres: it cannot run on this machine.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    with postgres.running() as url:
        s3.start()
        host, port = s3.get_host_and_port()
        try:
            yield Servers(url, f"http://{host}:{port}")
        finally:
            s3.stop()
